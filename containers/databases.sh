#!/usr/bin/env bash
# Run by the PostgreSQL image when its volume is empty: a role and a database each for MLflow, Prefect and the log.
set -eu

make_database() {
  psql --quiet --set ON_ERROR_STOP=1 --username postgres --set role="$1" --set password="$2" <<'SQL'
CREATE ROLE :"role" LOGIN PASSWORD :'password';
CREATE DATABASE :"role" OWNER :"role";
REVOKE CONNECT ON DATABASE :"role" FROM PUBLIC;
SQL
}

make_database mlflow "$MLFLOW_DB_PASSWORD"
make_database prefect "$PREFECT_DB_PASSWORD"
make_database gradecast "$LOG_DB_PASSWORD"
