//go:build slow

package chaos

import "time"

func init() { *lasts = 10 * time.Second }
