-- An app: the settings that were given for it, as a JSON object under the keys of the settings table.
-- Ids and keys are binary, because every collation that both MySQL and MariaDB have takes no notice of blanks at the
-- end. The version grows by one with each change.
CREATE TABLE socket_rush_apps (
    id varbinary(64) NOT NULL PRIMARY KEY,
    app_key varbinary(200) NOT NULL UNIQUE,
    document json NOT NULL,
    version bigint NOT NULL
) ENGINE = InnoDB;
