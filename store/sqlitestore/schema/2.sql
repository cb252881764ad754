-- Layout 2: changes by hand can be taken back, and are remembered.

-- A change that can be taken back until its time is over.
CREATE TABLE ebb_undo(
  id INTEGER PRIMARY KEY,
  change TEXT UNIQUE,                -- NULL: over, and on its way out
  until INTEGER NOT NULL
);
CREATE INDEX ebb_undo_until ON ebb_undo(until);

-- A job as it was before such a change, and what the change left of it. The job
-- bears the mark in its seq. Whoever moves or fetches it puts another number
-- there, or 0, also in processes that know of layout 1 only: one that comes back
-- to the same place is not taken for one that stayed.
CREATE TABLE ebb_was(
  mark INTEGER PRIMARY KEY,
  undo INTEGER NOT NULL,
  left_state INTEGER,                -- NULL: deleted
  left_queue INTEGER,
  left_at INTEGER,
  job INTEGER NOT NULL,              -- the columns of ebb_job
  jid TEXT NOT NULL,
  queue INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  state INTEGER NOT NULL,
  at INTEGER NOT NULL,
  seq INTEGER NOT NULL,              -- the mark of an earlier change
  payload BLOB                       -- NULL: the change left it as it was
);
CREATE INDEX ebb_was_undo ON ebb_was(undo, mark);

-- What people did by hand.
CREATE TABLE ebb_change(
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  began INTEGER NOT NULL,
  at INTEGER NOT NULL,               -- when it was recorded last
  change TEXT NOT NULL
);
CREATE INDEX ebb_change_began ON ebb_change(began, id);

UPDATE ebb_meta SET version = 2;
