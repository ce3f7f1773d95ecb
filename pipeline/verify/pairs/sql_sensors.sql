-- Readings whose sums depend on the order of adding, codes that look like numbers, one blob.
CREATE TABLE sensor (id INTEGER PRIMARY KEY, code TEXT, place TEXT, calibration BLOB);
INSERT INTO sensor VALUES
    (1, '007', 'roof', x'00ff'), (2, '7', 'cellar', NULL), (3, '1e3', 'roof', x'6162'),
    (4, '08', 'yard', x'');
CREATE TABLE reading (sensor_id INTEGER, hour INTEGER, value REAL, count INTEGER);
INSERT INTO reading VALUES
    (1, 0, 0.1, 1000000), (1, 1, 0.2, 1000001), (1, 2, 0.3, 1000000), (2, 0, 1e15, 3), (2, 1, 1.0, 3),
    (2, 2, -1e15, 3), (3, 0, 7.0, 7), (3, 1, 7.0, 8), (3, 2, NULL, 0), (4, 0, 2.5, 5), (4, 1, 2.5, 5);
