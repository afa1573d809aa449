-- Example data. Made once; what customers change stays until the state directory is removed.
create table if not exists bills (
    tenant text, customer text, month text, amount text, currency text, due text, status text,
    reason text, primary key (tenant, customer, month)
);
insert or ignore into bills values
    ('acme', 'a-1001', '2026-11', '42.50', 'EUR', '2026-12-01', 'open', 'a travel pass of 4.55 EUR on 14 November'),
    ('acme', 'a-1001', '2026-10', '37.95', 'EUR', '2026-11-01', 'paid', 'the monthly fee alone'),
    ('acme', 'a-1002', '2026-11', '61.20', 'EUR', '2026-12-01', 'open', 'the instalment for your tablet'),
    ('acme', 'a-1002', '2026-10', '61.20', 'EUR', '2026-11-01', 'paid', 'the instalment for your tablet'),
    ('globex', 'g-2001', '2026-11', '18.00', 'USD', '2026-12-05', 'open', 'the monthly fee alone'),
    ('globex', 'g-2001', '2026-10', '25.40', 'USD', '2026-11-05', 'paid', 'calls to service numbers of 7.40 USD');

create table if not exists payment_methods (tenant text, customer text, method text, primary key (tenant, customer));
insert or ignore into payment_methods values
    ('acme', 'a-1001', 'direct debit'), ('acme', 'a-1002', 'invoice'), ('globex', 'g-2001', 'card');

create table if not exists contracts (
    tenant text, customer text, tariff text, data_gb integer, fee text, currency text,
    ends text, notice text, street text, city text, status text, primary key (tenant, customer)
);
insert or ignore into contracts values
    ('acme', 'a-1001', 'Acme Mobile M', 20, '37.95', 'EUR', '2027-06-30', 'one month', 'Lindenweg 4', 'Bonn', 'active'),
    ('acme', 'a-1002', 'Acme Mobile L', 60, '49.95', 'EUR', '2028-01-31', 'one month', 'Hafenstrasse 11', 'Hamburg', 'active'),
    ('globex', 'g-2001', 'Globex Flex', 10, '18.00', 'USD', '2026-12-31', 'none', '12 Elm Street', 'Springfield', 'active');

create table if not exists orders (
    tenant text, customer text, number integer, item text, status text, arrives text, address text,
    primary key (tenant, number)
);
insert or ignore into orders values
    ('acme', 'a-1001', 4711, 'Nova 5 smartphone', 'on its way', '2026-11-27', 'Lindenweg 4, Bonn'),
    ('acme', 'a-1001', 4712, 'headphones', 'being packed', '2026-11-30', 'Lindenweg 4, Bonn'),
    ('acme', 'a-1002', 4800, 'tablet', 'delivered', '2026-11-20', 'Hafenstrasse 11, Hamburg'),
    ('globex', 'g-2001', 9001, 'router', 'on its way', '2026-11-26', '12 Elm Street, Springfield');

create table if not exists outages (tenant text, city text, what text, until text, primary key (tenant, city));
insert or ignore into outages values ('acme', 'Hamburg', 'a cut cable in Altona', '2026-11-25');

create table if not exists roaming (country text primary key, zone text, call text, data text, pass text);
insert or ignore into roaming values
    ('Spain', 'EU', 'nothing extra', 'nothing extra', 'none needed'),
    ('France', 'EU', 'nothing extra', 'nothing extra', 'none needed'),
    ('Italy', 'EU', 'nothing extra', 'nothing extra', 'none needed'),
    ('Norway', 'EU', 'nothing extra', 'nothing extra', 'none needed'),
    ('Switzerland', 'Europe', '0.69 EUR a minute', '0.49 EUR a MB', '2.95 EUR a day'),
    ('Turkey', 'Europe', '0.89 EUR a minute', '0.79 EUR a MB', '3.95 EUR a day'),
    ('USA', 'World', '1.19 EUR a minute', '0.99 EUR a MB', '5.95 EUR a day'),
    ('Canada', 'World', '1.19 EUR a minute', '0.99 EUR a MB', '5.95 EUR a day'),
    ('Japan', 'World', '1.49 EUR a minute', '1.29 EUR a MB', '6.95 EUR a day');

create table if not exists travellers (
    tenant text, customer text, roaming text, left_mb integer, pass text, primary key (tenant, customer)
);
insert or ignore into travellers values
    ('acme', 'a-1001', 'off', 1800, ''), ('acme', 'a-1002', 'on', 350, ''), ('globex', 'g-2001', 'off', 500, '');

create table if not exists stores (
    tenant text, city text, street text, weekdays text, saturday text, repairs integer, primary key (tenant, city)
);
insert or ignore into stores values
    ('acme', 'Berlin', 'Torstrasse 20', '10:00 to 20:00', '10:00 to 18:00', 1),
    ('acme', 'Bonn', 'Marktplatz 3', '9:30 to 19:00', '10:00 to 16:00', 0),
    ('acme', 'Cologne', 'Schildergasse 50', '10:00 to 20:00', '10:00 to 18:00', 1),
    ('acme', 'Hamburg', 'Jungfernstieg 7', '10:00 to 20:00', '10:00 to 18:00', 1),
    ('acme', 'Munich', 'Sendlinger Strasse 12', '9:00 to 19:00', '9:00 to 17:00', 1),
    ('acme', 'Frankfurt', 'Zeil 90', '10:00 to 20:00', '10:00 to 18:00', 0),
    ('acme', 'Leipzig', 'Petersstrasse 15', '10:00 to 19:00', '10:00 to 16:00', 0),
    ('globex', 'Springfield', '1 Main Street', '9:00 to 18:00', '10:00 to 14:00', 0);
