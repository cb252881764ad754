package redisstore

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/ebbjobs/ebb/internal/crashpoint"
	"github.com/ebbjobs/ebb/store"
	"github.com/ebbjobs/ebb/wire"
)

// lease is what one slot knows of a process; in a cluster there are several.
type lease struct {
	queue string // of the slot
	end   int64  // ms since 1970 on the server's clock
}

// Orphans lists processes that are gone.
func (s *Store) Orphans(ctx context.Context, max int, dead ...store.Identity) ([]store.Lost, error) {
	lost, err := s.orphans(ctx, max, dead)
	return lost, wrap("orphans", err)
}

func (s *Store) orphans(ctx context.Context, most int, dead []store.Identity) ([]store.Lost, error) {
	queues, err := s.known(ctx)
	if err != nil {
		return nil, err
	}
	leases, now, err := s.leases(ctx, queues, true, dead)
	if err != nil {
		return nil, err
	}
	var gone []store.Identity
	for id, ls := range leases {
		lapsed := !slices.ContainsFunc(ls, func(l lease) bool { return l.end > now })
		if lapsed || slices.Contains(dead, id) {
			gone = append(gone, id)
		}
	}
	slices.Sort(gone)
	var lost []store.Lost
	for _, id := range gone[:min(len(gone), max(most, 0))] {
		l, err := s.lost(ctx, id, queues, leases[id])
		if err != nil {
			return nil, err
		}
		if slices.Contains(dead, id) {
			l.Cause = store.Witnessed
		}
		l.Now = time.UnixMilli(now)
		lost = append(lost, l)
	}
	return lost, nil
}

// leases reads the leases of every process, or of those that have lapsed and some
// that are named, and the server's time in ms.
func (s *Store) leases(ctx context.Context, queues []string, lapsed bool, named []store.Identity) (map[store.Identity][]lease, int64, error) {
	slots := queues
	if !s.cluster {
		slots = []string{""}
	}
	reply, err := s.one(ctx, &request{args: []string{"TIME"}})
	if err != nil {
		return nil, 0, err
	}
	t, err := reply.AsIntSlice()
	if err != nil {
		return nil, 0, err
	}
	s.learn(t[0]*1e6 + t[1])
	now := t[0]*1000 + t[1]/1000
	until := "+inf"
	if lapsed {
		until = strconv.FormatInt(now, 10)
	}
	requests := make([]*request, 0, len(slots)*(1+len(named)))
	for _, q := range slots {
		requests = append(requests, command("ZRANGEBYSCORE", s.holders(q), "-inf", until, "WITHSCORES"))
		for _, id := range named {
			requests = append(requests, command("ZSCORE", s.holders(q), string(id)))
		}
	}
	replies, err := s.do(ctx, requests...)
	if err != nil {
		return nil, 0, err
	}
	leases := map[store.Identity][]lease{}
	add := func(id store.Identity, l lease) {
		if !slices.Contains(leases[id], l) {
			leases[id] = append(leases[id], l)
		}
	}
	for _, q := range slots {
		scores, err := replies[0].AsZScores()
		if err != nil {
			return nil, 0, err
		}
		for _, z := range scores {
			add(store.Identity(z.Member), lease{q, int64(z.Score)})
		}
		for i, id := range named {
			if end, err := replies[1+i].AsFloat64(); err == nil {
				add(id, lease{q, int64(end)})
			}
		}
		replies = replies[1+len(named):]
	}
	return leases, now, nil
}

// lost reads what a process held, after its lease: Rescue compares the lease, and so
// knows that nothing was fetched since.
func (s *Store) lost(ctx context.Context, id store.Identity, queues []string, leases []lease) (store.Lost, error) {
	l := store.Lost{ID: id, Cause: store.Lapsed, Last: store.Presence{ID: id}, Seen: seen(leases)}
	replies, err := s.do(ctx, command("HGET", s.fleet("ebb:presence"), string(id)), command("HMGET", s.last(leases[0].queue, id), "left", "unclaimed", "beat"))
	if err != nil {
		return l, err
	}
	if p, ok := readPresence(text(replies[0])); ok {
		l.Last = p.Presence
	}
	said := append(texts(replies[1]), "", "", "")
	switch {
	case said[1] == strconv.FormatInt(leases[0].end, 10):
		l.Cause = store.Unclaimed
	case said[0] != "":
		l.Cause = store.Left
	}
	if micros, err := strconv.ParseInt(said[2], 10, 64); err == nil {
		l.Beat = time.UnixMicro(micros).UTC()
	}
	l.Jobs, err = s.allHeldBy(ctx, id, queues)
	if len(l.Jobs) > store.MaxBatch {
		l.Jobs, l.More = l.Jobs[:store.MaxBatch], true
	}
	return l, err
}

// allHeldBy returns what id holds of queues, in the order in which it was taken.
func (s *Store) allHeldBy(ctx context.Context, id store.Identity, queues []string) (jobs []store.Held, err error) {
	requests := make([]*request, len(queues))
	for i, q := range queues {
		requests[i] = command("HGETALL", s.held(q, id))
	}
	replies, err := s.do(ctx, requests...)
	if err != nil {
		return nil, err
	}
	owner := ownerOf(id)
	for i, q := range queues {
		held, err := replies[i].AsStrMap()
		if err != nil {
			return nil, err
		}
		for field, payload := range held {
			jobs = append(jobs, store.Held{Token: token(field, owner, q), Queue: q, Payload: []byte(payload)})
		}
	}
	slices.SortFunc(jobs, func(a, b store.Held) int { return cmp.Compare(a.Token, b.Token) })
	return jobs, nil
}

func readPresence(text []byte) (presence, bool) {
	var p presence
	return p, json.Unmarshal(text, &p) == nil
}

// seen writes leases as the opaque text that Rescue is given back.
func seen(leases []lease) string {
	var b strings.Builder
	for _, l := range leases {
		b.WriteString(strconv.FormatInt(l.end, 10) + " " + strconv.Quote(l.queue) + "\n")
	}
	return b.String()
}

func readSeen(text string) (leases []lease) {
	for line := range strings.Lines(text) {
		end, quoted, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		queue, err := strconv.Unquote(quoted)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(end, 10, 64); err == nil {
			leases = append(leases, lease{queue, n})
		}
	}
	return leases
}

// Rescue moves each job where g says.
func (s *Store) Rescue(ctx context.Context, g store.Salvage) (int, error) {
	crashpoint.At(crashpoint.DuringRescue)
	moved, err := s.rescue(ctx, g)
	return moved, wrap("rescue", err)
}

func (s *Store) rescue(ctx context.Context, g store.Salvage) (moved int, err error) {
	if err := tooMany(len(g.Jobs)); err != nil {
		return 0, err
	}
	queues, err := s.known(ctx)
	if err != nil {
		return 0, err
	}
	report, err := reportText(g.Report)
	if err != nil {
		return 0, err
	}
	ends := map[string]int64{}
	es := edges{layout: s.layout}
	for _, l := range readSeen(g.Seen) {
		ends[l.queue] = l.end
	}
	if s.cluster {
		queues = slices.DeleteFunc(queues, func(q string) bool { _, held := ends[q]; return !held })
	}
	for _, q := range queues {
		es.of(q).number(q)
	}
	owner := ownerOf(g.ID)
	for _, r := range g.Jobs {
		if field, queue, ok := split(r.Token, owner); ok && slices.Contains(queues, queue) {
			s.salvage(es.of(queue), queue, field, r)
		}
	}
	take := func(forget bool) (empty, forgotten bool, err error) {
		requests := make([]*request, len(es.all))
		for i, e := range es.all {
			end := ends[""]
			if s.cluster {
				end = ends[e.queues[0]]
			}
			requests[i] = e.request(s, rescueScript, g.ID, store.Call{}, s.departure(g.ID),
				[]string{string(g.ID), strconv.FormatInt(end, 10), flag(g.Cause == store.Witnessed), report, flag(forget)})
			e.args = nil // they are moved once
		}
		replies, err := s.do(ctx, requests...)
		empty = err == nil
		for i := range replies {
			answer, err := replies[i].AsIntSlice()
			if err != nil || len(answer) != 3 {
				empty = false
				continue
			}
			moved += int(answer[0])
			forgotten = forgotten || answer[1] == 1
			empty = empty && answer[2] == 1
		}
		return empty, forgotten, err
	}
	empty, forgotten, err := take(!s.cluster)
	if s.cluster && empty {
		// One slot does not know what another one holds, and a process has a lease
		// in all of its slots or in none.
		_, forgotten, err = take(true)
	}
	if err == nil && s.cluster && (moved > 0 || forgotten) {
		_, err = s.one(ctx, s.farewell(g.ID, forgotten, report, false))
	}
	if err == nil && (moved > 0 || forgotten) {
		err = s.unbox(ctx, queues)
	}
	return moved, err
}

// salvage adds one job to a rescue.
func (s *Store) salvage(e *edge, queue, field string, r store.Rescued) {
	payload := r.Payload
	if payload == nil {
		payload = r.Was
	}
	if r.To == store.Ready {
		payload = wire.Stamp(payload, "", s.now())
	}
	e.args = append(e.args, e.number(queue), field, rueidis.BinaryString(r.Was), rueidis.BinaryString(payload),
		strconv.Itoa(int(r.To)), strconv.FormatInt(r.Delay.Microseconds(), 10), s.stray(payload, queue))
}

func reportText(r *store.StopReport) (string, error) {
	if r == nil {
		return "", nil
	}
	text, err := json.Marshal(r)
	return string(text), err
}

// farewell is what the fleet forgets of a process, and the report that it keeps.
func (s *Store) farewell(id store.Identity, empty bool, report string, left bool) *request {
	return &request{script: farewellScript, keys: append(s.departure(id), s.left(id)), args: []string{string(id), flag(empty), report, flag(left)}}
}

// Suspect shortens a lease to d, if it is longer.
func (s *Store) Suspect(ctx context.Context, id store.Identity, d time.Duration) error {
	return wrap("suspect", s.suspect(ctx, id, d))
}

func (s *Store) suspect(ctx context.Context, id store.Identity, d time.Duration) error {
	slots := []string{""}
	if s.cluster {
		var err error
		if slots, err = s.known(ctx); err != nil || len(slots) == 0 {
			return err
		}
	}
	requests := make([]*request, len(slots))
	for i, q := range slots {
		requests[i] = &request{script: suspectScript, keys: []string{s.holders(q)}, args: []string{string(id), strconv.FormatInt(d.Milliseconds(), 10)}}
	}
	_, err := s.do(ctx, requests...)
	return err
}
