-- Sample business data, so that every line works out of the box. Built into var/samples.db on
-- first use, and again when this file changes. All of it is invented.

-- Postal items by their international number (S10): two letters, eight digits and a check digit,
-- two letters for the country. The caller keys the nine digits; some items share them.
CREATE TABLE ems_items (
    letters TEXT NOT NULL,
    digits  TEXT NOT NULL,
    country TEXT NOT NULL,
    status  TEXT NOT NULL
        CHECK (status IN ('collected', 'in_transit', 'delivering', 'delivered', 'held')),
    PRIMARY KEY (digits, letters, country)
);
INSERT INTO ems_items VALUES
    ('EA', '123456785', 'CN', 'in_transit'),
    ('RR', '473124829', 'CN', 'delivered'),
    ('EA', '876543216', 'CN', 'collected'),
    ('EE', '100000003', 'CN', 'delivering'),
    ('LX', '200000006', 'CN', 'held'),
    ('EA', '555555555', 'CN', 'in_transit'),        -- these two share their digits
    ('LX', '555555555', 'CN', 'delivered');

-- Applications for digital certificates, by the number of the receipt.
CREATE TABLE xjca_applications (
    number TEXT PRIMARY KEY,
    status TEXT NOT NULL CHECK (status IN ('received', 'reviewing', 'returned', 'ready', 'issued'))
);
INSERT INTO xjca_applications VALUES
    ('20260001', 'received'),
    ('20260002', 'reviewing'),
    ('20260003', 'returned'),
    ('20260004', 'ready'),
    ('20260005', 'issued');

-- Payments, by the number of the order.
CREATE TABLE lakala_payments (
    number TEXT PRIMARY KEY,
    status TEXT NOT NULL
        CHECK (status IN ('processing', 'succeeded', 'failed', 'refunding', 'refunded'))
);
INSERT INTO lakala_payments VALUES
    ('660001', 'processing'),
    ('660002', 'succeeded'),
    ('660003', 'failed'),
    ('660004', 'refunding'),
    ('660005', 'refunded');

-- Requests to the information desk, by the number of the service sheet.
CREATE TABLE infodesk_requests (
    number TEXT PRIMARY KEY,
    status TEXT NOT NULL CHECK (status IN ('received', 'assigned', 'working', 'waiting', 'solved'))
);
INSERT INTO infodesk_requests VALUES
    ('5001', 'received'),
    ('5002', 'assigned'),
    ('5003', 'working'),
    ('5004', 'waiting'),
    ('5005', 'solved');
