#!/usr/bin/env bash
# Runs the tests that `mvn test` has compiled on JDK 17 and 25 too, where they are found: in JAVA_HOME_17 and
# JAVA_HOME_25, else below /usr/lib/jvm. The JDK that `mvn test` used is left out, and so are tests of whole processes.
set -euo pipefail
cd "$(dirname "$0")/../.."

version() { # of the JDK in a folder
  sed -n 's/^JAVA_VERSION="\([0-9]*\).*/\1/p' "$1/release" 2>/dev/null || true
}

used=$(mvn --version | sed -n 's/^Java version: \([0-9]*\).*/\1/p')
for wanted in 17 25; do
  [[ $wanted == "$used" ]] && continue
  home=JAVA_HOME_$wanted
  found=
  for folder in "${!home:-}" /usr/lib/jvm/*; do
    if [[ -x $folder/bin/java && $(version "$folder") == "$wanted" ]]; then
      found=$folder
      break
    fi
  done
  if [[ -z $found ]]; then
    echo "JDK $wanted: not found, NOT RUN"
    continue
  fi
  mvn -q -B surefire:test -Djvm="$found/bin/java" -Dtest='!QuickstartTest,!ExampleProcessTest' -Dsurefire.failIfNoSpecifiedTests=true
  echo "JDK $wanted: passed"
done
