-- The tables of schema 1 as llmtui 0.1.0 made them. Never edit this file.
PRAGMA application_id = 1819045236;
PRAGMA user_version = 1;
CREATE TABLE backends (
        run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        backend TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        model_digest TEXT NOT NULL DEFAULT '',
        state TEXT NOT NULL,
        PRIMARY KEY (run, backend, attempt)
    ) WITHOUT ROWID;
CREATE TABLE iterations (
        seq INTEGER PRIMARY KEY,
        run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        backend TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        phase TEXT NOT NULL,
        iteration INTEGER NOT NULL,
        started_utc TEXT NOT NULL,
        latency_s REAL, ttft_s REAL, ttfo_s REAL, itl_s REAL, tpot_s REAL, tokens_per_s REAL,
        output_tokens INTEGER, prompt_tokens INTEGER, cached_tokens INTEGER,
        token_source TEXT, finish_reason TEXT,
        connect_s REAL, server_prefill_s REAL, server_decode_s REAL, server_load_s REAL,
        foreign_cpu REAL, stamp TEXT,
        error_kind TEXT, error_message TEXT, error_hint TEXT,
        more TEXT,
        text TEXT NOT NULL,
        arrivals_ns BLOB NOT NULL,
        arrival_tokens BLOB NOT NULL,
        UNIQUE (run, backend, attempt, phase, iteration)
    );
CREATE TABLE runs (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        created_utc TEXT NOT NULL,
        ended_utc TEXT,
        state TEXT NOT NULL CHECK (state IN ('running', 'done', 'stopped', 'died')),
        label TEXT NOT NULL DEFAULT '',
        note TEXT NOT NULL DEFAULT '',
        llmtui TEXT NOT NULL,
        engine_place TEXT NOT NULL,
        engine_pid INTEGER NOT NULL,
        engine_started TEXT NOT NULL,
        machine TEXT NOT NULL,
        plan TEXT NOT NULL
    );
