//! Apps in a SQL database: PostgreSQL, and MariaDB, which stands for MySQL too.

mod stores;
