//go:build unix

package command

import (
	"os"
	"sync"
	"syscall"
	"time"
)

// streams are what a program is given, and our ends of it.
type streams struct {
	given   []*os.File // standard input, output, error, and the lease if there is one
	out     []*os.File // our ends of output and error
	end     tail       // of standard error
	reading sync.WaitGroup
}

// pipes adds output and error.
func (s *streams) pipes() error {
	for range 2 {
		ours, theirs, err := os.Pipe()
		if err != nil {
			return err
		}
		s.out, s.given = append(s.out, ours), append(s.given, theirs)
		// The descriptor is shared, its mode too, and programs expect a write to wait.
		if err := syscall.SetNonblock(int(theirs.Fd()), false); err != nil {
			return err
		}
	}
	return nil
}

// handOver closes what the program has by now.
func (s *streams) handOver() {
	for _, f := range s.given {
		f.Close()
	}
	s.given = nil
}

// read begins to read what the program prints.
func (s *streams) read(to *output) {
	s.reading.Go(func() { to.copy(s.out[0], nil) })
	s.reading.Go(func() { to.copy(s.out[1], &s.end) })
}

// finish reads to the end when nothing of the program is left. Should anybody else
// hold the pipes open, what they print is none of the job's.
func (s *streams) finish() {
	for _, f := range s.out {
		_ = f.SetReadDeadline(time.Now().Add(time.Second))
	}
	s.reading.Wait()
}

func (s *streams) close() {
	s.handOver()
	for _, f := range s.out {
		f.Close()
	}
	s.out = nil
}
