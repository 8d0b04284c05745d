-- A run that llmtui 0.1.0 made and wrote, frozen. Only its places and names were changed.
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
INSERT INTO "backends" VALUES('63653edc','gone',1,'','{"name":"gone","state":"unreachable","planned":3,"failure":{"kind":"connect","message":"nothing answers at 127.0.0.1:9","hint":"start the server"}}');
INSERT INTO "backends" VALUES('63653edc','truth',1,'','{"name":"truth","state":"done","planned":3,"model":"truth","device":"cpu","url":"http://127.0.0.1:59973","load_s":0.11056355300001997}');
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
INSERT INTO "iterations" VALUES(1,'63653edc','truth',1,'warmup',1,'2026-11-28T14:06:32.631Z',0.012490265,0.005502594,0.005502594,0.001144605,9.98238714285714376708e-04,1.00176439331502581354e+03,8,10,NULL,'usage','length',NULL,NULL,NULL,NULL,0.0,'kernel',NULL,NULL,NULL,'{"server_cpu":0.0,"steal":0.0}',' t0 t1 t2 t3 t4 t5 t6 t7',X'84DA9F0584949401BADC8B01D0B38D0196B88C01F0B98B01BCE404DE838B01',X'0210');
INSERT INTO "iterations" VALUES(2,'63653edc','truth',1,'measured',1,'2026-11-28T14:06:32.651Z',0.012689246,0.005722296,0.005722296,0.0011547805,9.95278571428571392706e-04,1.0047438262080249842e+03,8,10,NULL,'usage','length',NULL,NULL,NULL,NULL,0.0,'kernel',NULL,NULL,NULL,'{"server_cpu":0.0,"steal":0.0}',' t0 t1 t2 t3 t4 t5 t6 t7',X'F0C2BA058AC99301E4CA8D01F29296028CEC8901D2FB048EAC8C01',X'020604020206');
INSERT INTO "iterations" VALUES(3,'63653edc','truth',1,'measured',2,'2026-11-28T14:06:32.669Z',0.012407681,0.005486579,0.005486579,0.001130224,9.8872885714285725818e-04,1.01139962971214697516e+03,8,10,NULL,'usage','length',NULL,NULL,NULL,NULL,0.0,'kernel',NULL,NULL,NULL,'{"server_cpu":0.0,"steal":0.0}',' t0 t1 t2 t3 t4 t5 t6 t7',X'E6DF9D0582F08701CEAE8A01BEA38A01E0FB8901FAC28901BA9F9301FACD09',X'0210');
INSERT INTO "iterations" VALUES(4,'63653edc','truth',1,'measured',3,'2026-11-28T14:06:32.685Z',0.012624905,0.005680428,0.005680428,0.001143684,9.92068142857142811624e-04,1.00799527451815299622e+03,8,10,NULL,'usage','length',NULL,NULL,NULL,NULL,0.0,'kernel',NULL,NULL,NULL,'{"server_cpu":0.0,"steal":0.0}',' t0 t1 t2 t3 t4 t5 t6 t7',X'D8B4B505E0AC9001809C8C0190808B01A4A48A01B0E08A01F68D9301',X'020C0402');
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
INSERT INTO "runs" VALUES(1,'63653edc','2026-11-28T14:06:32.229Z','2026-11-28T14:06:32.700Z','done','','','0.1.0','host pid:[4026531836]',5610,'00000000-0000-4000-8000-000000000000 111572','{"cpu":"Test CPU","cores":2,"memory_bytes":25276502016,"os":"Linux 6.1","python":"3.11.7","llmtui":"0.1.0","load_1m":0.2}','{"run":"63653edc","created_utc":"2026-11-28T14:06:32.229Z","config":{"iterations":3,"warmup":1,"max_tokens":8},"backends":[{"name":"truth","framework":"truth","launch":["/usr/bin/python3","-m","llmtui.accuracy.truth_server","--port","{port}","--ttft-ms","5","--itl-ms","1"]},{"name":"gone","framework":"gone","url":"http://127.0.0.1:9"}],"source":"/home/user/config.toml"}');
COMMIT;
