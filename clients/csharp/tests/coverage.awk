# Prints the share of the client's lines that the tests ran, from a cobertura file; fails below 95 %.
BEGIN { FS = "\"" }
/<class / { isClient = /ScoringClient\.cs"/ }
isClient && /<line / { hits[$2] += $4 } # <line number="5" hits="1" .../>
END {
    for (line in hits) {
        all++
        hit += hits[line] > 0
    }
    if (!all) {
        print "no coverage of ScoringClient.cs"
        exit 1
    }
    printf "ScoringClient.cs: %.1f %% of lines\n", 100 * hit / all
    exit hit < 0.95 * all
}
