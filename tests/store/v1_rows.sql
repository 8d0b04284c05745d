-- Rows for the tables in v1_schema.sql, written by hand. Never edit this file.
BEGIN TRANSACTION;
INSERT INTO "backends" VALUES('ab12cd34','a',1,'sha256:12','{"name":"a","state":"done","planned":3,"version":"vLLM 0.19","weights":"bf16","load_s":2.5}');
INSERT INTO "iterations" VALUES(1,'ab12cd34','a',1,'warmup',1,'2026-11-22T15:00:01.250Z',0.5,0.125,NULL,NULL,NULL,NULL,3,NULL,NULL,'usage',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'Hello',X'80E59A77C097E8B201C097E8B201',X'0206');
INSERT INTO "iterations" VALUES(2,'ab12cd34','a',1,'measured',2,'2026-11-22T15:00:02.250Z',0.5,0.125,NULL,NULL,NULL,NULL,3,NULL,NULL,'usage',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'Hello',X'80E59A77C097E8B201C097E8B201',X'0206');
INSERT INTO "runs" VALUES(1,'ab12cd34','2026-11-22T15:00:00.000Z','2026-11-22T15:01:00.000Z','done','first','','0.1.0','host',1,'boot 1','{"cpu":"Test CPU","cores":2,"memory_bytes":8589934592,"os":"Linux 6","python":"3.11.7","llmtui":"0.1.0"}','{"run":"ab12cd34","created_utc":"2026-11-22T15:00:00.000Z","config":{"iterations":3,"warmup":1},"backends":[{"name":"a","framework":"vLLM","url":"http://127.0.0.1:8000/v1"},{"name":"b","framework":"vLLM","url":"http://127.0.0.1:8000/v1"}],"source":"config.toml"}');
COMMIT;
