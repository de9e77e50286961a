# Makes a program that runs a Java function: `sh build.sh MVN JAVA CLIENT_POM JARS LIB PROGRAM`, in the function's folder.
# JARS gets AWS's client, once; LIB what the project needs at run time, where there is a pom.xml.
set -eu
mvn=$1 java=$2 client=$3 jars=$4 lib=$5 program=$6
copy=org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies
maven() { "$mvn" --batch-mode --quiet -Dstyle.color=never "$@" >&2; }

if [ ! -d "$jars" ]; then
    fresh=$jars.$$
    maven --file "$client" "$copy" -DoutputDirectory="$fresh"
    # Another run may have been faster.
    [ -d "$jars" ] || mv "$fresh" "$jars"
    rm -rf "$fresh"
fi
path="$jars/*" state=
if [ -f pom.xml ]; then
    rm -rf "$lib"
    maven -Dmaven.test.skip=true compile "$copy" -DincludeScope=runtime -DoutputDirectory="$lib"
    path="$path:$PWD/target/classes:$lib/*"
    state=$(find target/classes "$lib" -type f -exec cksum {} + | sort | cksum)
fi
{
    echo '#!/bin/sh'
    # Classes that are others make another program.
    echo "# $state"
    echo "exec '$java' -XX:TieredStopAtLevel=1 -cp '$path' com.amazonaws.services.lambda.runtime.api.client.AWSLambda \"\$@\""
} >"$program"
chmod +x "$program"
