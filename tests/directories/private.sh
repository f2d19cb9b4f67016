# Sourced by the scripts beside it: what a private server of tests on loopback needs, whichever it is.
# NAME is what its messages begin with, DIR its folder, PIDFILE where it writes its number.

alive() { grep -qzF -- "$DIR/" "/proc/$1/cmdline" 2>/dev/null; } # a zombie has no command line, another's lacks our folder
running() { # prints the pid of our server
  local p; p=$(cat "$PIDFILE" 2>/dev/null) || return 1
  [ -n "$p" ] && alive "$p" && echo "$p"
}
stop() {
  local p; p=$(running) || { echo "$NAME: not running"; return 0; }
  kill "$p" 2>/dev/null || true
  for _ in $(seq 400); do alive "$p" || { echo "$NAME: stopped $p"; return 0; }; sleep .05; done
  kill -9 "$p" 2>/dev/null || true
}
cas() { # two in this folder: ca signs, other-ca signs nobody
  for ca in ca other-ca; do
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -keyout $ca.key -out $ca.pem \
      -subj "/O=example/CN=scimd test $ca" -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
  done
}
sign() { # NAME SUBJECT EXTENSION: NAME.key and NAME.pem in this folder, by its ca
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -subj "$2" -out "$1.csr" 2>/dev/null
  openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -out "$1.pem" -extfile <(printf '%s\n' "$3") 2>/dev/null
}
sign_server() { sign server "/O=example/CN=localhost" "subjectAltName=DNS:localhost,IP:127.0.0.1"; }
