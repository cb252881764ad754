-- Layout 1. Everything is prefixed, since users keep tables of their own in the
-- same file. Later layouts only add, so that a process of the release before goes
-- on beside the new one; meta.min_reader says which may.

CREATE TABLE ebb_meta(
  id INTEGER PRIMARY KEY CHECK (id = 1),
  version INTEGER NOT NULL,
  min_reader INTEGER NOT NULL,
  last INTEGER NOT NULL             -- highest number given to a job or a place in a queue
);
INSERT INTO ebb_meta VALUES (1, 1, 1, 0);

-- A queue and its books. Every count is changed by the transaction that it counts.
CREATE TABLE ebb_queue(
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  paused INTEGER NOT NULL DEFAULT 0,
  waiting INTEGER NOT NULL DEFAULT 0, -- these five stand in the order of store.Place
  scheduled INTEGER NOT NULL DEFAULT 0,
  retrying INTEGER NOT NULL DEFAULT 0,
  held INTEGER NOT NULL DEFAULT 0,
  dead INTEGER NOT NULL DEFAULT 0,
  accepted INTEGER NOT NULL DEFAULT 0,
  done INTEGER NOT NULL DEFAULT 0,
  discarded INTEGER NOT NULL DEFAULT 0,
  expired INTEGER NOT NULL DEFAULT 0,
  deleted INTEGER NOT NULL DEFAULT 0,
  trimmed INTEGER NOT NULL DEFAULT 0,
  moved INTEGER NOT NULL DEFAULT 0,
  fetched INTEGER NOT NULL DEFAULT 0,
  retried INTEGER NOT NULL DEFAULT 0,
  buried INTEGER NOT NULL DEFAULT 0,
  requeued INTEGER NOT NULL DEFAULT 0,
  rescued INTEGER NOT NULL DEFAULT 0,
  processed INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0
);

CREATE INDEX ebb_queue_paused ON ebb_queue(name) WHERE paused = 1;

CREATE TABLE ebb_kind(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);

-- One row a job, whatever its state (store.Place). Numbers are never used again.
CREATE TABLE ebb_job(
  id INTEGER PRIMARY KEY,
  jid TEXT NOT NULL,
  queue INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  state INTEGER NOT NULL,
  ord INTEGER NOT NULL,              -- place in the queue; the front is below all others
  at INTEGER NOT NULL,               -- µs since the epoch: ready since, due, or dead since
  holder INTEGER NOT NULL DEFAULT 0, -- these three are the token: boot, lane and
  lane INTEGER NOT NULL DEFAULT 0,   -- number of the fetch that took it
  seq INTEGER NOT NULL DEFAULT 0,
  payload BLOB NOT NULL              -- last: what comes before is found without reading it
);
-- A partial index is used only by a query that repeats its WHERE literally.
CREATE INDEX ebb_job_ready ON ebb_job(queue, ord) WHERE state = 0;
CREATE INDEX ebb_job_sched ON ebb_job(at, id) WHERE state = 1;
CREATE INDEX ebb_job_retry ON ebb_job(at, id) WHERE state = 2;
CREATE INDEX ebb_job_held ON ebb_job(holder, id) WHERE state = 3;
CREATE INDEX ebb_job_dead ON ebb_job(at, id) WHERE state = 4;
CREATE INDEX ebb_job_jid ON ebb_job(jid); -- cheap while jids come in the order of time

-- Every identity that ever called, and whether it left. AUTOINCREMENT: the
-- number stands for the holder in jobs and must not come to mean another.
CREATE TABLE ebb_boot(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  gone INTEGER NOT NULL DEFAULT 0    -- when it left
);

-- What a boot last asked on each lane, and the answer where there is one.
CREATE TABLE ebb_lane(
  boot INTEGER NOT NULL,
  lane INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  at INTEGER NOT NULL,
  answer TEXT NOT NULL,
  PRIMARY KEY (boot, lane)
) WITHOUT ROWID;

-- Registered processes. Who lives is told by the lock on its lease file; the
-- times here are for people.
CREATE TABLE ebb_process(
  boot INTEGER PRIMARY KEY,
  born INTEGER NOT NULL,             -- tells this registration from an earlier one of the same boot
  beat INTEGER NOT NULL,
  ttl INTEGER NOT NULL,
  beats INTEGER NOT NULL,
  ends INTEGER NOT NULL DEFAULT 0,   -- left with deaf jobs: when others may take them
  presence TEXT NOT NULL
);

CREATE TABLE ebb_command(id INTEGER PRIMARY KEY, boot INTEGER NOT NULL, verb TEXT NOT NULL, jid TEXT NOT NULL);
CREATE INDEX ebb_command_boot ON ebb_command(boot);

CREATE TABLE ebb_stop(id INTEGER PRIMARY KEY, at INTEGER NOT NULL, boot TEXT NOT NULL, report TEXT NOT NULL);
CREATE INDEX ebb_stop_boot ON ebb_stop(boot);
