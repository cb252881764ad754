-- Layout 3: how runs went is remembered.

-- What is told apart: a kind from a queue in a release.
CREATE TABLE ebb_series(
  id INTEGER PRIMARY KEY,            -- above 0, which stands for all runs together
  kind TEXT NOT NULL,
  queue TEXT NOT NULL,
  release TEXT NOT NULL,
  used INTEGER NOT NULL,             -- s since the epoch: about when it was last counted
  UNIQUE (kind, queue, release)
);
CREATE INDEX ebb_series_used ON ebb_series(used);

-- How the runs of a series went that ended within a step.
CREATE TABLE ebb_point(
  step INTEGER NOT NULL,             -- s
  at INTEGER NOT NULL,               -- s since the epoch
  series INTEGER NOT NULL,
  counts BLOB NOT NULL,
  PRIMARY KEY (step, at, series)
) WITHOUT ROWID;

-- When the first process of a release registered.
CREATE TABLE ebb_mark(
  id INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  release TEXT NOT NULL UNIQUE
);

-- Jobs that left the store at the end of a run.
CREATE TABLE ebb_ended(id INTEGER PRIMARY KEY, jid TEXT NOT NULL, ended TEXT NOT NULL);
CREATE INDEX ebb_ended_jid ON ebb_ended(jid, id);

UPDATE ebb_meta SET version = 3;
