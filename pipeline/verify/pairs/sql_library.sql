-- A lending library: names that differ only in case, ties in every number that one sorts by, NULLs.
CREATE TABLE author (id INTEGER PRIMARY KEY, name TEXT NOT NULL, country TEXT, born INTEGER);
INSERT INTO author VALUES
    (1, 'Ada Brook', 'Norway', 1950), (2, 'Ben Cole', 'Kenya', 1962), (3, 'Cy Dahl', 'Norway', 1962),
    (4, 'Dee Ekman', NULL, 1980), (5, 'ada brook', 'Peru', 1971);
CREATE TABLE book (
    id INTEGER PRIMARY KEY, title TEXT NOT NULL, author_id INTEGER REFERENCES author (id),
    year INTEGER, pages INTEGER, price REAL, shelf TEXT
);
INSERT INTO book VALUES
    (1, 'Fjord', 1, 1990, 310, 12.5, 'A1'), (2, 'Savanna', 2, 1995, 220, 9.99, 'A1'),
    (3, 'Snow', 3, 1995, 310, 20.0, 'B2'), (4, 'Harbour', 1, 2001, 150, 12.5, 'B2'),
    (5, 'Maps', 2, 2001, 480, 30.0, 'C3'), (6, 'Ghosts', NULL, 2010, NULL, NULL, NULL),
    (7, 'Lamps', 4, 2010, 90, 5.0, 'C3');
CREATE TABLE member (id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT);
INSERT INTO member VALUES (1, 'Ines', 'Oslo'), (2, 'Jon', 'Bergen'), (3, 'Kai', 'Oslo'), (4, 'Lea', '');
CREATE TABLE loan (book_id INTEGER, member_id INTEGER, day TEXT, returned TEXT);
INSERT INTO loan VALUES
    (1, 1, '2024-01-05', '2024-01-20'), (1, 2, '2024-02-01', NULL), (3, 1, '2024-02-03', '2024-02-09'),
    (5, 3, '2024-03-01', NULL), (1, 1, '2024-03-02', '2024-03-03'), (2, 1, '2024-03-05', NULL);
