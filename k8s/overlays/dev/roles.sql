-- Run once, by the superuser, when the database is made. The migrations find the roles and make no others.
CREATE ROLE ordo_owner LOGIN CREATEROLE PASSWORD 'development';
CREATE ROLE ordo_app LOGIN PASSWORD 'development';
CREATE ROLE ordo_service NOLOGIN;
CREATE ROLE ordo_sealer NOLOGIN;
GRANT ordo_service TO ordo_app;
GRANT ordo_sealer TO ordo_app WITH INHERIT FALSE, SET TRUE;
CREATE DATABASE ordo OWNER ordo_owner;
REVOKE ALL ON DATABASE ordo FROM PUBLIC;
GRANT CONNECT ON DATABASE ordo TO ordo_app;
ALTER ROLE ordo_app SET statement_timeout = '10s';
ALTER ROLE ordo_app SET lock_timeout = '5s';
ALTER ROLE ordo_app SET idle_in_transaction_session_timeout = '15s';
