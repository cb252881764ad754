// Command cgo shows a title that is longer than its arguments, and prints what C finds then.
package main

// #include <stdlib.h>
import "C"

import (
	"fmt"
	"strings"

	"github.com/ebbjobs/ebb/internal/proctitle"
)

func main() {
	proctitle.Set(strings.Repeat("title ", 50))
	fmt.Print(C.GoString(C.getenv(C.CString("EBB_FIRST"))), C.GoString(C.getenv(C.CString("EBB_LAST"))))
}
