package sqlitestore

import (
	"context"
	"database/sql/driver"
	"embed"
	"fmt"

	"github.com/ebbjobs/ebb/store"
)

// layout is the version of the schema that this code writes, oldest the lowest
// version of code that may still use what it wrote.
const (
	layout = 3
	oldest = 1
)

// schemas lead from each layout to the next, from none to the first.
//
//go:embed schema
var schemas embed.FS

var (
	findSchema = statement("SELECT name FROM sqlite_schema WHERE type = 'table' AND name = 'ebb_meta'")
	readLayout = statement("SELECT version, min_reader FROM ebb_meta WHERE id = 1")
)

// ensureSchema makes the tables, adds what a file of an earlier layout lacks, and
// refuses a file that this code must not use.
func ensureSchema(c *writeConn) error {
	version, err := layoutOf(c)
	if err != nil {
		return err
	}
	for version < layout {
		version++
		text, err := schemas.ReadFile(fmt.Sprintf("schema/%d.sql", version))
		if err != nil {
			return err
		}
		if _, err := c.raw.(driver.ExecerContext).ExecContext(context.Background(), string(text), nil); err != nil {
			return err
		}
	}
	return nil
}

// layoutOf returns the layout of a file that this code may use; 0: it has none.
func layoutOf(c *writeConn) (version int64, err error) {
	found := false
	if err := c.query(findSchema, func([]row) error { found = true; return nil }); err != nil || !found {
		return 0, err
	}
	minReader := int64(0)
	err = c.query(readLayout, func(r []row) error {
		version, minReader = r[0].(int64), r[1].(int64)
		return nil
	})
	switch {
	case err != nil:
		return 0, err
	case version < oldest:
		return 0, fmt.Errorf("%w: its layout is %d", store.ErrCorrupt, version)
	case minReader > layout:
		return 0, store.WithHint(fmt.Errorf("%w: its layout is %d and may be read from %d on; this is %d", store.ErrTooNew, version, minReader, layout),
			"run the release that made it, or a later one")
	}
	return version, nil
}
