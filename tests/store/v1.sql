-- A history of schema 1 (llmtui 0.1.0), frozen.
PRAGMA application_id = 1819045236;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE backends (
        run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        backend TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        model_digest TEXT NOT NULL DEFAULT '',
        state TEXT NOT NULL,
        PRIMARY KEY (run, backend, attempt)
    ) WITHOUT ROWID;
INSERT INTO "backends" VALUES('ab12cd34','a',1,'sha256:12','{"name":"a","state":"done","planned":3,"version":"vLLM 0.19","weights":"bf16","load_s":2.5}');
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
INSERT INTO "iterations" VALUES(1,'ab12cd34','a',1,'warmup',1,'2026-11-22T15:00:01.250Z',0.5,0.125,NULL,NULL,NULL,NULL,3,NULL,NULL,'usage',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'Hello',X'80E59A77C097E8B201C097E8B201',X'0206');
INSERT INTO "iterations" VALUES(2,'ab12cd34','a',1,'measured',2,'2026-11-22T15:00:02.250Z',0.5,0.125,NULL,NULL,NULL,NULL,3,NULL,NULL,'usage',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'Hello',X'80E59A77C097E8B201C097E8B201',X'0206');
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
INSERT INTO "runs" VALUES(1,'ab12cd34','2026-11-22T15:00:00.000Z','2026-11-22T15:01:00.000Z','done','first','','0.1.0','host',1,'boot 1','{"cpu":"Test CPU","cores":2,"memory_bytes":8589934592,"os":"Linux 6","python":"3.11.7","llmtui":"0.1.0"}','{"run":"ab12cd34","created_utc":"2026-11-22T15:00:00.000Z","config":{"iterations":3,"warmup":1},"backends":[{"name":"a","framework":"vLLM","url":"http://127.0.0.1:8000/v1"},{"name":"b","framework":"vLLM","url":"http://127.0.0.1:8000/v1"}],"source":"config.toml"}');
COMMIT;
