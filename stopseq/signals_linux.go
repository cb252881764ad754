package stopseq

import "syscall"

var more = []named{{"PWR", syscall.SIGPWR}}
