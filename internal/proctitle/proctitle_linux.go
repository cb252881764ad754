package proctitle

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"unsafe"
)

// first is where the kernel has put the arguments: until this package is initialised
// os.Args is made of that memory.
var first *byte

func init() {
	if len(os.Args) == 0 {
		return
	}
	first = unsafe.StringData(os.Args[0])
	args := make([]string, len(os.Args))
	for i, arg := range os.Args {
		args[i] = strings.Clone(arg)
	}
	os.Args = args
}

// find finds out how far the memory of the arguments and the environment reaches.
// Where anything is other than expected there is none: a kernel that is none of
// Linux's own, or a Go program that is a library of another one.
func find() *memory {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return &memory{}
	}
	// After the name, which may hold anything, the third field is the first; the 48th
	// to 51st are the bounds of the arguments and of the environment (proc(5)).
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 49 {
		return &memory{}
	}
	var at [4]uintptr
	for i := range at {
		n, err := strconv.ParseUint(string(fields[45+i]), 10, strconv.IntSize)
		if err != nil {
			return &memory{}
		}
		at[i] = uintptr(n)
	}
	begin, end := at[0], at[1]
	if first == nil || begin != uintptr(unsafe.Pointer(first)) || end <= begin {
		return &memory{}
	}
	arguments := end - begin
	if at[2] == end && at[3] > end {
		end = at[3]
	}
	return &memory{bytes: unsafe.Slice(first, end-begin), arguments: int(arguments)}
}

// moveEnvironment gives the C library, where the program has one, strings of its own:
// Go passes each variable that is set on to it.
func moveEnvironment() {
	for _, variable := range os.Environ() {
		if name, value, ok := strings.Cut(variable, "="); ok && name != "" {
			os.Setenv(name, value)
		}
	}
}
