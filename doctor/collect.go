package doctor

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
)

// maxBytes is the most of a file that is read. Nobody writes longer ones by hand.
const maxBytes = 1 << 20

var errTooLong = errors.New("doctor: it is longer than 1 MiB")

// passedOver are folders in which nothing of the project's own stands.
var passedOver = map[string]bool{".git": true, "node_modules": true, "vendor": true, ".bundle": true, "tmp": true, "log": true, ".terraform": true}

// Collect finds the files of a folder that may say something. Names in the sources
// begin with prefix. What cannot be read is a problem; links are not followed out of
// the folder if root does not.
func Collect(root fs.FS, prefix string) (sources []Source, problems []Problem) {
	problem := func(name string, err error) {
		if reason, ok := errors.AsType[*fs.PathError](err); ok {
			err = reason.Err
		}
		problems = append(problems, Problem{Place{File: path.Join(prefix, name)}, fmt.Sprintf("cannot be read: %v", err)})
	}
	fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			problem(name, err)
			if entry != nil && entry.IsDir() {
				return fs.SkipDir
			}
		case entry.IsDir():
			if name != "." && passedOver[entry.Name()] {
				return fs.SkipDir
			}
		case entry.Type().IsRegular() && Wanted(name):
			s, err := ReadSource(root, name)
			if errors.Is(err, errTooLong) {
				return nil // data, such as package-lock.json
			}
			if err != nil {
				problem(name, err)
				return nil
			}
			s.Name = path.Join(prefix, name)
			sources = append(sources, s)
		}
		return nil
	})
	return sources, problems
}

// ReadSource reads one file. One that is longer than anybody writes is an error.
func ReadSource(root fs.FS, name string) (Source, error) {
	file, err := root.Open(name)
	if err != nil {
		return Source{}, err
	}
	defer file.Close()
	s := Source{Name: name}
	s.Text, err = io.ReadAll(io.LimitReader(file, maxBytes+1))
	if err == nil && len(s.Text) > maxBytes {
		err = errTooLong
	}
	return s, err
}
