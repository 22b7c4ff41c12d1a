#!/bin/sh
# Makes what deploy/compose needs and is not there yet: secrets (0600), the files made from them, data folders, .env. Changes nothing that
# exists, so it may be run again at any time. Nothing has a default password.
set -eu
umask 077
cd "$(dirname "$0")"

hex() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
secret() { # FILE
  if [ ! -s "secrets/$1" ]; then
    hex > "secrets/$1.new"
    mv "secrets/$1.new" "secrets/$1"
    echo "made secrets/$1"
  fi
}
read_secret() { tr -d '\n' < "secrets/$1"; }
sha() { if command -v sha256sum > /dev/null; then sha256sum; else shasum -a 256; fi | cut -d' ' -f1; }
hash_of() { read_secret "$1" | sha; }

mkdir -p secrets generated data
for d in nats clickhouse detect seal tenants grafana retention archive journal/ingest journal/enrich journal/detect journal/store journal/splunk; do mkdir -p "data/$d"; done
for s in otlp.token nats.password nats-viewer.password jetstream.key identity.key master.key \
  clickhouse.password clickhouse-admin.password clickhouse-analyst.password clickhouse-remover.password grafana-admin.password; do secret "$s"; done

# Each role sees the secrets that it needs, and no others.
role() { # ROLE FILE...
  mkdir -p "generated/$1"
  r=$1; shift
  for f in "$@"; do cp "secrets/$f" "generated/$r/$f"; done
}
role ingest otlp.token nats.password
role enrich nats.password identity.key master.key
role detect nats.password
role store nats.password clickhouse.password clickhouse-remover.password
role admin clickhouse-admin.password
role cli nats.password clickhouse-analyst.password
if [ -s secrets/splunk.token ]; then role splunk nats.password splunk.token; else role splunk nats.password; fi
[ -e generated/allowlist.yaml ] || : > generated/allowlist.yaml
[ -e generated/retention.yaml ] || cat > generated/retention.yaml <<'POLICY'
# How long records stay: docs/retention.md. As it comes it keeps everything for a hundred years; `mcpsiem retention presets` lists presets.
version: "1"
classes:
  - {name: everything, hot: 36500}
POLICY

cat > generated/nats-auth.conf <<CONF
jetstream_key: "$(read_secret jetstream.key)"
pipeline_password: "$(read_secret nats.password)"
viewer_password: "$(read_secret nats-viewer.password)"
CONF

sed -e "s/@ADMIN@/$(hash_of clickhouse-admin.password)/" -e "s/@PIPELINE@/$(hash_of clickhouse.password)/" \
  -e "s/@ANALYST@/$(hash_of clickhouse-analyst.password)/" -e "s/@REMOVER@/$(hash_of clickhouse-remover.password)/" clickhouse/users.xml.in > generated/users.xml

cat > generated/grafana.env <<CONF
GF_SECURITY_ADMIN_PASSWORD=$(read_secret grafana-admin.password)
MCPSIEM_CLICKHOUSE_PASSWORD=$(read_secret clickhouse-analyst.password)
CONF

# Containers run as the user who owns these files; where that would be root, as 65532.
uid=$(id -u) gid=$(id -g)
if [ "$uid" = 0 ]; then
  uid=65532 gid=65532
  chown -R 65532:65532 secrets generated data
fi
if [ ! -e .env ]; then
  printf 'MCPSIEM_UID=%s\nMCPSIEM_GID=%s\n# Where Grafana sends alerts; nowhere until you name an address.\nMCPSIEM_ALERT_WEBHOOK=http://127.0.0.1:9/not-set\n' "$uid" "$gid" > .env
  echo "made .env"
fi
echo "Grafana: user admin, password in $(pwd)/secrets/grafana-admin.password"
