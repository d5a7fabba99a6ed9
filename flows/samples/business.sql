-- Sample business data, so that every line works out of the box. Built into var/samples.db on
-- first use, and again when this file changes. All of it is invented.

-- Postal items by the international number (S10): two letters, eight digits and a check digit,
-- two letters. The caller keys the nine digits; some items share them.
CREATE TABLE items (
    digits  TEXT NOT NULL,
    letters TEXT NOT NULL,                    -- the service's two letters, before the digits
    country TEXT NOT NULL DEFAULT 'CN',
    status  TEXT NOT NULL CHECK (status IN ('collected', 'in_transit', 'delivering', 'delivered', 'held')),
    PRIMARY KEY (digits, letters, country)
);
INSERT INTO items (digits, letters, status) VALUES
    ('123456785', 'EA', 'in_transit'),
    ('473124829', 'RR', 'delivered'),
    ('876543216', 'EA', 'collected'),
    ('100000003', 'EE', 'delivering'),
    ('200000006', 'LX', 'held'),
    ('555555555', 'EA', 'in_transit'),        -- these two share their digits
    ('555555555', 'LX', 'delivered');

-- Applications for certificates.
CREATE TABLE applications (
    number TEXT PRIMARY KEY,
    status TEXT NOT NULL CHECK (status IN ('accepted', 'reviewing', 'issued', 'rejected'))
);
INSERT INTO applications VALUES
    ('20260001', 'accepted'),
    ('20260002', 'reviewing'),
    ('20260003', 'issued'),
    ('20260004', 'rejected');

-- Payment orders.
CREATE TABLE orders (
    number TEXT PRIMARY KEY,
    status TEXT NOT NULL CHECK (status IN ('processing', 'done'))
);
INSERT INTO orders VALUES
    ('660001', 'processing'),
    ('660002', 'done');

-- Tickets of the information desk.
CREATE TABLE tickets (
    number TEXT PRIMARY KEY,
    status TEXT NOT NULL CHECK (status IN ('open', 'done'))
);
INSERT INTO tickets VALUES
    ('5001', 'open'),
    ('5002', 'done');
