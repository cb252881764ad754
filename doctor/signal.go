package doctor

import "strings"

// signalNumbers are those of Linux that a stop has to do with.
var signalNumbers = map[string]string{
	"1": "HUP", "2": "INT", "3": "QUIT", "9": "KILL", "10": "USR1", "12": "USR2", "15": "TERM", "18": "CONT", "19": "STOP", "20": "TSTP", "21": "TTIN", "22": "TTOU",
}

// signalName is a signal without SIG and in capitals, given in any of the ways in
// which files write it.
func signalName(s string) string {
	s = strings.ToUpper(strings.TrimSpace(s))
	if name, ok := signalNumbers[s]; ok {
		return name
	}
	return strings.TrimPrefix(s, "SIG")
}

// sentBy are the signals that a text sends, in the form of kill -TSTP 1 or
// kill -s TERM 1, or names as a step of a stop sequence.
func sentBy(words []string) (signals []string) {
	for i, w := range words {
		if w = baseName(w); w != "kill" && w != "pkill" && w != "killall" {
			continue
		}
		sent := "TERM" // kill without a signal
		for j := i + 1; j < len(words) && strings.HasPrefix(words[j], "-"); j++ {
			option := strings.TrimLeft(words[j], "-")
			switch {
			case (option == "s" || option == "n" || option == "signal") && j+1 < len(words):
				sent = signalName(words[j+1])
				j++
			case strings.HasPrefix(option, "signal="):
				sent = signalName(strings.TrimPrefix(option, "signal="))
			case known(signalName(option)):
				sent = signalName(option)
			}
		}
		signals = append(signals, sent)
	}
	return signals
}

func known(signal string) bool {
	for _, name := range signalNumbers {
		if name == signal {
			return true
		}
	}
	return false
}
