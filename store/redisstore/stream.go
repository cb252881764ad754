package redisstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/ebbjobs/ebb/store"
)

// stream is a connection whose replies are read piece by piece: all other calls'
// client would keep the whole answer of a transaction in memory.
type stream struct {
	conn net.Conn
	r    *bufio.Reader
	w    *bufio.Writer
}

// silence is how long the server may say nothing while it answers. A transaction that
// reads everything holds it for seconds.
const silence = time.Minute

// stream connects to the primary. The connection ends with ctx, or by stop.
func (s *Store) stream(ctx context.Context) (st *stream, stop func(), err error) {
	var addr string
	for addr = range s.client.Nodes() {
	}
	conn, err := s.connect(ctx, addr, &s.option.Dialer, s.option.TLSConfig)
	if err != nil {
		return nil, nil, err
	}
	unhook := context.AfterFunc(ctx, func() { conn.Close() })
	stop = func() { unhook(); conn.Close() }
	st = &stream{conn, bufio.NewReaderSize(conn, 256<<10), bufio.NewWriterSize(conn, 64<<10)}
	answers := 0
	if o := s.option; o.Password != "" {
		auth := []string{"AUTH", o.Username, o.Password}
		if o.Username == "" {
			auth = []string{"AUTH", o.Password}
		}
		st.send(auth...)
		answers++
	}
	if s.option.SelectDB != 0 {
		st.send("SELECT", strconv.Itoa(s.option.SelectDB))
		answers++
	}
	if err := st.skip(answers); err != nil {
		stop()
		return nil, nil, err
	}
	return st, stop, nil
}

// send writes a command. It is on its way when a reply is asked for.
func (st *stream) send(args ...string) {
	fmt.Fprintf(st.w, "*%d\r\n", len(args))
	for _, arg := range args {
		fmt.Fprintf(st.w, "$%d\r\n%s\r\n", len(arg), arg)
	}
}

// skip reads n replies that say nothing.
func (st *stream) skip(n int) error {
	for range n {
		if _, _, err := st.reply(); err != nil {
			return err
		}
	}
	return nil
}

// reply reads the beginning of a reply: its kind, and n, which is a number, the length
// of a text that follows, or of how many replies an array consists; -1 is nil.
func (st *stream) reply() (kind byte, n int64, err error) {
	if st.w.Buffered() > 0 {
		st.conn.SetWriteDeadline(time.Now().Add(silence))
		if err := st.w.Flush(); err != nil {
			return 0, 0, err
		}
	}
	if st.r.Buffered() == 0 {
		st.conn.SetReadDeadline(time.Now().Add(silence))
	}
	line, err := st.r.ReadString('\n')
	if err != nil || len(line) < 3 {
		return 0, 0, errors.Join(err, errUnreadable)
	}
	kind, line = line[0], line[1:len(line)-2]
	switch kind {
	case '+':
		return kind, 0, nil
	case '-':
		return kind, 0, said(line)
	case ':', '$', '*':
		if n, err = strconv.ParseInt(line, 10, 64); err == nil {
			return kind, n, nil
		}
	}
	return 0, 0, errUnreadable
}

var errUnreadable = errors.New("the server's answer cannot be read")

// said is an error of the server's.
func said(text string) error {
	err := errors.New(text)
	if k := kindOfText(text); k >= 0 {
		if kinds[k].sentinel != nil {
			err = fmt.Errorf("%w: %w", kinds[k].sentinel, err)
		}
		err = store.WithHint(err, "%s", kinds[k].hint)
	}
	return err
}

// copyText copies a text of n bytes to w.
func (st *stream) copyText(w io.Writer, n int64) error {
	st.conn.SetReadDeadline(time.Now().Add(silence))
	if _, err := io.CopyN(w, st.r, n); err != nil {
		return err
	}
	_, err := st.r.Discard(2)
	return err
}

// texts reads an array of texts.
func (st *stream) texts() ([]string, error) {
	_, n, err := st.reply()
	var all []string
	for i := int64(0); i < n && err == nil; i++ {
		var size int64
		if _, size, err = st.reply(); err != nil {
			break
		}
		buf := make([]byte, max(0, size), max(0, size)+2)
		if _, err = io.ReadFull(st.r, buf[:cap(buf)]); err == nil {
			all = append(all, string(buf))
		}
	}
	return all, err
}
