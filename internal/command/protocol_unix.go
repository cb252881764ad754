//go:build unix

package command

import (
	"encoding/json"
	"net"
	"os"
	"runtime"
	"syscall"
)

// A worker and its guard talk over a pair of unix sockets, one JSON object a line:
// orders one way, news the other. At most one program is under way at a time, and
// an order to run comes only after the news of the exit before.

// order is what a worker tells its guard to do: to remove a folder once the worker is
// gone, to run a program, or to send the one that runs a signal. A signal that comes
// after its program's end is for nobody.
type order struct {
	Scratch []byte `json:"scratch,omitempty"` // in place of the one before
	// Run comes with descriptors: standard input, output, error, and the lease's file
	// where there is one.
	Run    *program       `json:"run,omitempty"`
	Signal syscall.Signal `json:"signal,omitempty"`
	Group  bool           `json:"group,omitempty"` // to the whole group

	files []*os.File
}

// program is what to run. The texts are bytes since not all need be UTF-8.
type program struct {
	Path []byte   `json:"path"`
	Argv [][]byte `json:"argv"`
	Env  [][]byte `json:"env"`
	Dir  []byte   `json:"dir"`
}

// news is what a guard tells: that the program runs, that it could not be started,
// or that it has ended.
type news struct {
	Started int           `json:"started,omitempty"` // its process number, and its group's
	Failed  syscall.Errno `json:"failed,omitempty"`
	Exit    *exit         `json:"exit,omitempty"`
}

// exit is how a program ended, with all that it had started.
type exit struct {
	Status syscall.WaitStatus `json:"status"`
	Left   int                `json:"left,omitempty"`  // processes that had outlived it, and had to be told to end
	Stuck  int                `json:"stuck,omitempty"` // of these, those that not even KILL has ended
}

// send writes one line. The files travel with its first byte.
func send(conn *net.UnixConn, message any, files ...*os.File) error {
	line, err := json.Marshal(message)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	var rights []byte
	if len(files) > 0 {
		var fds []int
		for _, f := range files {
			fds = append(fds, int(f.Fd()))
		}
		rights = syscall.UnixRights(fds...)
	}
	n, _, err := conn.WriteMsgUnix(line, rights, nil)
	runtime.KeepAlive(files)
	if err == nil && n < len(line) { // it was longer than the socket's buffer
		_, err = conn.Write(line[n:])
	}
	return err
}

// receiver reads what send wrote, and collects the files that come with it.
type receiver struct {
	conn  *net.UnixConn
	files []*os.File
}

func (r *receiver) Read(p []byte) (int, error) {
	control := make([]byte, syscall.CmsgSpace(4*4)) // four descriptors of four bytes
	n, used, _, _, err := r.conn.ReadMsgUnix(p, control)
	if messages, parseErr := syscall.ParseSocketControlMessage(control[:used]); parseErr == nil {
		for _, m := range messages {
			fds, _ := syscall.ParseUnixRights(&m) // none if it is another message
			for _, fd := range fds {
				r.files = append(r.files, os.NewFile(uintptr(fd), "received"))
			}
		}
	}
	return n, err
}

func (r *receiver) take() []*os.File {
	files := r.files
	r.files = nil
	return files
}

// toBytes and toStrings carry texts over the socket as they are.
func toBytes(texts []string) [][]byte {
	all := make([][]byte, len(texts))
	for i, s := range texts {
		all[i] = []byte(s)
	}
	return all
}

func toStrings(texts [][]byte) []string {
	all := make([]string, len(texts))
	for i, b := range texts {
		all[i] = string(b)
	}
	return all
}
