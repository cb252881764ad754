-- Puts what the backup attached as copy says in place of what main has, within
-- the transaction that was begun.
--
-- Queues, kinds and boots keep their numbers in main: stores that are open
-- remember them. Numbers of jobs and of places rise above all that main ever
-- gave out, so that a key or a token of before means nothing of what comes after.

INSERT OR IGNORE INTO main.ebb_queue(name) SELECT name FROM copy.ebb_queue ORDER BY id;
INSERT OR IGNORE INTO main.ebb_kind(name) SELECT name FROM copy.ebb_kind ORDER BY id;
INSERT OR IGNORE INTO main.ebb_boot(name) SELECT name FROM copy.ebb_boot ORDER BY id;

CREATE TEMP TABLE queue_of(was INTEGER PRIMARY KEY, now INTEGER NOT NULL);
CREATE TEMP TABLE kind_of(was INTEGER PRIMARY KEY, now INTEGER NOT NULL);
CREATE TEMP TABLE boot_of(was INTEGER PRIMARY KEY, now INTEGER NOT NULL);
INSERT INTO queue_of SELECT c.id, m.id FROM copy.ebb_queue c JOIN main.ebb_queue m USING (name);
INSERT INTO kind_of SELECT c.id, m.id FROM copy.ebb_kind c JOIN main.ebb_kind m USING (name);
INSERT INTO boot_of SELECT c.id, m.id FROM copy.ebb_boot c JOIN main.ebb_boot m USING (name);
CREATE TEMP TABLE above(n INTEGER NOT NULL);
INSERT INTO above SELECT last FROM main.ebb_meta;

-- A queue that the backup does not know keeps nothing but its number.
UPDATE main.ebb_queue SET paused = 0, waiting = 0, scheduled = 0, retrying = 0, held = 0, dead = 0, accepted = 0, done = 0,
  discarded = 0, expired = 0, deleted = 0, trimmed = 0, moved = 0, fetched = 0, retried = 0, buried = 0, requeued = 0,
  rescued = 0, processed = 0, failed = 0;
UPDATE main.ebb_queue AS m SET paused = c.paused, waiting = c.waiting, scheduled = c.scheduled, retrying = c.retrying,
  held = c.held, dead = c.dead, accepted = c.accepted, done = c.done, discarded = c.discarded, expired = c.expired,
  deleted = c.deleted, trimmed = c.trimmed, moved = c.moved, fetched = c.fetched, retried = c.retried, buried = c.buried,
  requeued = c.requeued, rescued = c.rescued, processed = c.processed, failed = c.failed
  FROM copy.ebb_queue AS c WHERE c.name = m.name;

-- Who has left stays gone, also where the backup is older than that.
UPDATE main.ebb_boot AS m SET gone = c.gone FROM copy.ebb_boot AS c WHERE c.name = m.name AND m.gone = 0;

-- What a boot asked goes with the jobs that it asked for: a push that the backup
-- does not know must not be taken for a repetition.
DELETE FROM main.ebb_lane;
INSERT INTO main.ebb_lane(boot, lane, seq, at, answer)
  SELECT (SELECT now FROM boot_of WHERE was = boot), lane, seq, at, answer FROM copy.ebb_lane;

-- Where no number is found, NOT NULL fails all: no job is left out in silence.
DELETE FROM main.ebb_job;
INSERT INTO main.ebb_job(id, jid, queue, kind, state, ord, at, holder, lane, seq, payload)
  SELECT id + n, jid, (SELECT now FROM queue_of WHERE was = queue), (SELECT now FROM kind_of WHERE was = kind), state, ord + n, at,
    CASE state WHEN 3 THEN (SELECT now FROM boot_of WHERE was = holder) ELSE 0 END, lane,
    CASE WHEN state = 3 OR seq = 0 THEN seq ELSE seq + n END, -- else the mark of a change
    payload
  FROM above CROSS JOIN copy.ebb_job;

-- Orders to processes that were are of no use to anybody.
DELETE FROM main.ebb_command;
DELETE FROM main.ebb_process;
INSERT INTO main.ebb_process(boot, born, beat, ttl, beats, ends, presence)
  SELECT (SELECT now FROM boot_of WHERE was = boot), born + n, beat, ttl, beats, ends, presence FROM above CROSS JOIN copy.ebb_process;

DELETE FROM main.ebb_stop;
INSERT INTO main.ebb_stop(id, at, boot, report) SELECT id, at, boot, report FROM copy.ebb_stop;

DELETE FROM main.ebb_undo;
INSERT INTO main.ebb_undo(id, change, until) SELECT id, change, until FROM copy.ebb_undo;
DELETE FROM main.ebb_was;
INSERT INTO main.ebb_was(mark, undo, left_state, left_queue, left_at, job, jid, queue, kind, state, at, seq, payload)
  SELECT mark + n, undo, left_state, (SELECT now FROM queue_of WHERE was = left_queue), left_at, job + n, jid,
    (SELECT now FROM queue_of WHERE was = queue), (SELECT now FROM kind_of WHERE was = kind), state, at,
    CASE seq WHEN 0 THEN 0 ELSE seq + n END, payload
  FROM above CROSS JOIN copy.ebb_was;

DELETE FROM main.ebb_change;
INSERT INTO main.ebb_change(id, name, began, at, change) SELECT id, name, began, at, change FROM copy.ebb_change;

DELETE FROM main.ebb_point;
DELETE FROM main.ebb_series;
INSERT INTO main.ebb_series(id, kind, queue, release, used) SELECT id, kind, queue, release, used FROM copy.ebb_series;
INSERT INTO main.ebb_point(step, at, series, counts) SELECT step, at, series, counts FROM copy.ebb_point;
DELETE FROM main.ebb_mark;
INSERT INTO main.ebb_mark(id, at, release) SELECT id, at, release FROM copy.ebb_mark;
DELETE FROM main.ebb_ended;
INSERT INTO main.ebb_ended(id, jid, ended) SELECT id, jid, ended FROM copy.ebb_ended;

UPDATE main.ebb_meta SET last = last + (SELECT last FROM copy.ebb_meta);
