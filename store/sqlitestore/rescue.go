package sqlitestore

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ebbjobs/ebb/internal/crashpoint"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

const (
	listProcesses = `SELECT b.id, b.name, p.born, p.beat, p.ttl, p.beats, p.ends, b.gone, p.presence
		FROM ebb_process p CROSS JOIN ebb_boot b ON b.id = p.boot ORDER BY b.name` // CROSS: few processes, many boots
	listHeld = `SELECT j.id, j.lane, j.seq, j.queue, q.name, j.payload FROM ebb_job j JOIN ebb_queue q ON q.id = j.queue
		WHERE j.state = 3 AND j.holder = ? ORDER BY j.id LIMIT ?`
)

var (
	findProcess = statement("SELECT born, beats FROM ebb_process WHERE boot = ?")
	// A job that is not as its rescuer saw it stays.
	rescueJob = statement(`UPDATE ebb_job SET state = ?, ord = ?, at = coalesce(?, at), payload = ?, holder = 0, lane = 0, seq = 0
		WHERE id = ? AND state = 3 AND holder = ? AND lane = ? AND seq = ? AND payload = ?`)
	anyHeld        = statement("SELECT 1 FROM ebb_job WHERE state = 3 AND holder = ? LIMIT 1")
	forgetProcess  = statement("DELETE FROM ebb_process WHERE boot = ?")
	forgetCommands = statement("DELETE FROM ebb_command WHERE boot = ?")
	addStop        = statement("INSERT INTO ebb_stop(at, boot, report) VALUES (?, ?, ?)")
)

// registered is a row of ebb_process.
type registered struct {
	boot        int64
	id          store.Identity
	born, beats int64
	beat, ttl   int64
	ends        int64
	left        bool
	presence    store.Presence
}

// seen is what a rescuer compares.
func (r *registered) seen() string { return seenOf(r.born, r.beats) }

func seenOf(born, beats int64) string {
	return strconv.FormatInt(born, 36) + "." + strconv.FormatInt(beats, 36)
}

func (s *Store) registered(ctx context.Context) ([]registered, error) {
	var all []registered
	err := s.each(ctx, listProcesses, func(rows *sql.Rows) error {
		var r registered
		var gone int64
		var presence []byte
		if err := rows.Scan(&r.boot, &r.id, &r.born, &r.beat, &r.ttl, &r.beats, &r.ends, &gone, &presence); err != nil {
			return err
		}
		r.left = gone != 0
		if json.Unmarshal(presence, &r.presence) != nil {
			r.presence = store.Presence{} // of a later release, say; for people only
		}
		r.presence.ID = r.id
		all = append(all, r)
		return nil
	})
	return all, err
}

// causeOf returns why r counts as gone, or "".
func (s *Store) causeOf(r *registered, dead []store.Identity) store.Cause {
	switch v := s.probe(r.id); {
	case v == guarded:
		return "" // what it started may go on without it
	case slices.Contains(dead, r.id):
		return store.Witnessed
	case r.left && s.now() >= r.ends:
		return store.Left
	case v != gone:
		return ""
	case r.left:
		return store.Left
	}
	return store.Lapsed
}

// Orphans implements [store.Keeper]. It tries the lock of every process, and
// changes nothing.
func (s *Store) Orphans(ctx context.Context, max int, dead ...store.Identity) ([]store.Lost, error) {
	lost, err := s.orphans(ctx, max, dead)
	if err != nil {
		return nil, fmt.Errorf("sqlitestore: orphans: %w", err)
	}
	return lost, nil
}

func (s *Store) orphans(ctx context.Context, max int, dead []store.Identity) (lost []store.Lost, err error) {
	all, err := s.registered(ctx)
	if err != nil {
		return nil, err
	}
	for i := range all {
		r := &all[i]
		cause := s.causeOf(r, dead)
		if cause == "" || len(lost) >= max {
			continue
		}
		if r.beats == 0 && cause != store.Witnessed {
			cause = store.Unclaimed
		}
		l := store.Lost{ID: r.id, Cause: cause, Last: r.presence, Now: moment(s.now()), Seen: r.seen()}
		if r.beats > 0 {
			l.Beat = moment(r.beat)
		}
		if l.Jobs, err = s.heldOf(ctx, r.boot, store.MaxBatch+1); err != nil {
			return nil, err
		}
		if l.More = len(l.Jobs) > store.MaxBatch; l.More {
			l.Jobs = l.Jobs[:store.MaxBatch]
		}
		lost = append(lost, l)
	}
	return lost, nil
}

func (s *Store) heldOf(ctx context.Context, boot int64, most int) ([]store.Held, error) {
	var jobs []store.Held
	err := s.each(ctx, listHeld, func(rows *sql.Rows) error {
		var g grip
		var h store.Held
		err := rows.Scan(&g.id, &g.lane, &g.seq, &g.queue, &h.Queue, &h.Payload)
		h.Token, h.Payload = g.token(), bytesOf(h.Payload)
		jobs = append(jobs, h)
		return err
	}, boot, most)
	return jobs, err
}

// Rescue implements [store.Keeper]. The lock is looked at again before the move;
// an owner that came back to life between the look and the move has beaten, and
// is then not as it was seen.
func (s *Store) Rescue(ctx context.Context, g store.Salvage) (moved int, err error) {
	if moved, err = s.rescue(ctx, &g); err != nil {
		return 0, fmt.Errorf("sqlitestore: rescue: %w", err)
	}
	return moved, nil
}

func (s *Store) rescue(ctx context.Context, g *store.Salvage) (moved int, err error) {
	if err := checkSize(len(g.Jobs)); err != nil {
		return 0, err
	}
	var dead []store.Identity
	if g.Cause == store.Witnessed {
		dead = append(dead, g.ID)
	}
	all, err := s.registered(ctx)
	if err != nil {
		return 0, err
	}
	i := slices.IndexFunc(all, func(r registered) bool { return r.id == g.ID })
	if i < 0 || s.causeOf(&all[i], dead) == "" {
		return 0, nil
	}
	forgotten := false
	err = s.writer.do(ctx, &call{class: other, jobs: max(len(g.Jobs), 1), apply: func(t *tx) (err error) {
		moved, forgotten, err = t.rescue(g)
		return err
	}})
	if forgotten && err == nil {
		s.unlink(g.ID)
	}
	return moved, err
}

func (t *tx) rescue(g *store.Salvage) (moved int, forgotten bool, err error) {
	boot, _, err := t.findBoot(g.ID)
	if err != nil || boot == 0 {
		return 0, false, err
	}
	same := false
	err = t.query(findProcess, func(r []row) error {
		born, beats := r[0].(int64), r[1].(int64)
		same = g.Seen == seenOf(born, beats) ||
			// Who saw it die needs no lease to tell, but must mean this registration.
			g.Cause == store.Witnessed && strings.HasPrefix(g.Seen, strconv.FormatInt(born, 36)+".")
		return nil
	}, boot)
	if err != nil || !same {
		return 0, false, err
	}
	// The last goes to the front first.
	for _, r := range slices.Backward(g.Jobs) {
		ok, err := t.rescueOne(boot, &r)
		if err != nil {
			return 0, false, err
		}
		if ok {
			moved++
			crashpoint.At(crashpoint.DuringRescue)
		}
	}
	if forgotten, err = t.forget(boot); err != nil {
		return 0, false, err
	}
	if g.Report != nil && (moved > 0 || forgotten) {
		err = t.report(g.ID, g.Report)
	}
	return moved, forgotten, err
}

func (t *tx) rescueOne(boot int64, r *store.Rescued) (bool, error) {
	g, ok := parseGrip(r.Token)
	if !ok {
		return false, nil
	}
	payload := r.Payload
	if payload == nil {
		payload = r.Was
	}
	ord, at := int64(0), any(nil)
	switch r.To {
	case store.Ready:
		payload = wire.Stamp(payload, "", moment(t.now))
		var err error
		if ord, err = t.front(g.queue); err != nil {
			return false, err
		}
	case store.Dead:
		at = t.now
	case store.Scheduled, store.Retrying:
		at = t.now + r.Delay.Microseconds()
	default:
		return false, nil
	}
	n, err := t.exec(rescueJob, int64(r.To), ord, at, bytesOf(payload), g.id, boot, g.lane, g.seq, bytesOf(r.Was))
	if n == 0 || err != nil {
		return false, err
	}
	t.exit(g.queue, store.Keeping)
	t.enter(g.queue, r.To)
	t.count(g.queue, rescued, 1)
	t.ready = t.ready || r.To == store.Ready
	return true, nil
}

// forget removes a process that holds nothing.
func (t *tx) forget(boot int64) (bool, error) {
	holds := false
	if err := t.query(anyHeld, func([]row) error { holds = true; return nil }, boot); err != nil || holds {
		return false, err
	}
	if _, err := t.exec(forgetCommands, boot); err != nil {
		return false, err
	}
	n, err := t.exec(forgetProcess, boot)
	return n > 0, err
}

// report keeps a part of what is told about the end of a process.
func (t *tx) report(id store.Identity, r *store.StopReport) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = t.exec(addStop, t.now, string(id), string(text))
	return err
}

// Suspect implements [store.Keeper]. The lock knows, so there is nothing to do.
func (s *Store) Suspect(context.Context, store.Identity, time.Duration) error {
	if s.isClosed() {
		return fmt.Errorf("sqlitestore: suspect: %w", store.ErrClosed)
	}
	return nil
}
