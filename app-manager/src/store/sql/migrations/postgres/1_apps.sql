-- An app: the settings that were given for it, as a JSON object under the keys of the settings table.
-- Ids and keys are compared byte for byte. The version grows by one with each change.
CREATE TABLE socket_rush_apps (
    id varchar(64) COLLATE "C" PRIMARY KEY,
    app_key varchar(200) COLLATE "C" NOT NULL UNIQUE,
    document json NOT NULL,
    version bigint NOT NULL
);
