package azureml.scoring;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.net.http.HttpClient;
import java.nio.file.Path;
import java.time.Duration;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Making a client: B01, B02, B03, B20, B23. */
class OptionsTest {
  private static final double[][] ROWS = {{1.5}};

  private static String refusal(String uri, String key) {
    return assertThrows(IllegalArgumentException.class, () -> ScoringClient.create(uri, key))
        .getMessage();
  }

  // ---- the URI

  @ParameterizedTest
  @ValueSource(
      strings = {
        "/",
        "/score",
        "/Score/",
        "/api/v1/service/a-b_c~d/score",
        "//a//b",
        "/a%2Fb%20c%3f",
        "/a...b/.c/d.",
        "/score?x=1&Y=%3D/../&z",
        "/a;b=c,d@e:f!$&'()*+"
      })
  // Proves B01.
  void pathAndQueryAreSentAsTheyAreGiven(String target) throws Exception {
    try (ScriptedServer server = ScriptedServer.replying("200 OK", "[2.5]");
        ScoringClient client = ScoringClient.create(server.uri(target), null)) {
      client.score(ROWS);
      assertEquals("POST " + target + " HTTP/1.1", server.onlyRequest().line());
    }
  }

  // Proves B01.
  @Test
  void aUriWithoutPathIsTheRoot() throws Exception {
    try (ScriptedServer server = ScriptedServer.replying("200 OK", "[2.5]");
        ScoringClient client = ScoringClient.create(server.uri("").replace("http", "HTTP"), null)) {
      client.score(ROWS);
      assertEquals("POST / HTTP/1.1", server.onlyRequest().line());
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "score",
        "/score",
        "//host/score",
        "host:443/score",
        "ftp://host/score",
        "https:host/score",
        "https:///score",
        "https://:443/score",
        "https://host:0/score",
        "https://host:65536/score",
        "https://host:port/score",
        "https://host/%zz",
        "https://[::1/score"
      })
  // Proves B01, B02.
  void anythingButAnAbsoluteHttpUriIsRefused(String uri) {
    assertEquals("the scoring URI must be an absolute http or https URI", refusal(uri, null));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      textBlock =
          """
          https://user@host/score     | the scoring URI must not contain user info
          https://u:hunter2@host/     | the scoring URI must not contain user info
          https://@host/score         | the scoring URI must not contain user info
          https://u:hunter2@host:x/   | the scoring URI must not contain user info
          https://host/score#part     | the scoring URI must not contain a fragment
          https://host/score#         | the scoring URI must not contain a fragment
          https://host/score?         | the scoring URI must not contain an empty query
          https://host/a/../score     | the scoring URI must not contain dot segments
          https://host/./score        | the scoring URI must not contain dot segments
          https://host/score/..       | the scoring URI must not contain dot segments
          https://host/%41            | the scoring URI must not contain needless percent escapes (%41)
          https://host/a%2e%2e/b      | the scoring URI must not contain needless percent escapes (%2e)
          https://host/score?a=%7E    | the scoring URI must not contain needless percent escapes (%7E)
          https://host/a b            | the scoring URI has a character that no URI can have at position 14 (a trailing newline?)
          https://host/é              | the scoring URI has a character that no URI can have at position 13 (a trailing newline?)
          https://host/{name}         | the scoring URI has a character that no URI can have at position 13 (a trailing newline?)
          """)
  // Proves B01.
  void whatPlatformsWouldRewriteIsRefused(String uri, String message) {
    assertEquals(message, refusal(uri, null));
  }

  // Proves B01.
  @Test
  void everyEscapeOfAnUnreservedCharacterIsNeedlessAndNoOther() {
    for (char c = 0; c < 0x100; c++) {
      String uri = String.format("https://host/%%%02x", (int) c);
      if (c < 0x80 && String.valueOf(c).matches("[A-Za-z0-9._~-]")) {
        refusal(uri, null);
        refusal(
            uri.replace(uri.substring(14), uri.substring(14).toUpperCase(java.util.Locale.ROOT)),
            null);
      } else {
        assertDoesNotThrow(() -> ScoringClient.create(uri, null).close(), uri);
      }
    }
  }

  // Proves B01.
  @Test
  void aTrailingNewlineOfTheUriIsRefused() {
    assertEquals(
        "the scoring URI has a character that no URI can have at position 18 (a trailing newline?)",
        refusal("https://host/score\n", null));
  }

  @Test
  void aMissingUriIsANullPointer() {
    assertEquals(
        "scoringUri",
        assertThrows(NullPointerException.class, () -> ScoringClient.create(null, null))
            .getMessage());
  }

  // Proves B21.
  @Test
  void theTextOfAClientLeavesOutTheQuery() {
    try (ScoringClient client =
        ScoringClient.create("https://host:8443/score?code=hunter2", "hunter3")) {
      assertEquals("ScoringClient(https://host:8443/score)", client.toString());
    }
  }

  // ---- the key

  static Stream<Arguments> unfitKeys() {
    return Stream.of(
        Arguments.of(Named.of("line feed", "hunter2\n"), 7),
        Arguments.of(Named.of("injected header", "hunter2\r\nX-Evil: 1"), 7),
        Arguments.of(Named.of("inner space", "hunter2 hunter2"), 7),
        Arguments.of(Named.of("leading space", " hunter2"), 0),
        Arguments.of(Named.of("tab", "hunt\ter2"), 4),
        Arguments.of(Named.of("nul", "hunter2\0"), 7),
        Arguments.of(Named.of("delete", "hunter2\u007f"), 7),
        Arguments.of(Named.of("latin-1", "hunter2é"), 7),
        Arguments.of(Named.of("euro", "€hunter2"), 0));
  }

  // Proves B02, B20.
  @ParameterizedTest
  @MethodSource("unfitKeys")
  void aKeyThatCannotTravelIsRefusedWithoutShowingIt(String key, int position) {
    assertEquals(
        "the key has a character that cannot be sent in a header at position "
            + position
            + " (a trailing newline?)",
        refusal("https://host/score", key));
  }

  // Proves B20.
  @Test
  void anEmptyKeyIsRefused() {
    assertEquals("the key is empty", refusal("https://host/score", ""));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "http://host/score",
        "HTTP://host/score",
        "http://10.0.0.1/score",
        "http://127.0.0.1.example.com/score",
        "http://localhost.example.com/score",
        "http://[::2]/score",
        "http://[::ffff:10.0.0.1]/score"
      })
  // Proves B23.
  void aKeyDoesNotTravelInTheOpen(String uri) {
    assertEquals(
        "a key over plain http to a host that is not loopback: use https, or allowInsecureHttp if the network is trusted",
        refusal(uri, "hunter2"));
    assertDoesNotThrow(() -> ScoringClient.create(uri, null).close());
    assertDoesNotThrow(
        () -> ScoringClient.builder(uri).key("hunter2").allowInsecureHttp(true).build().close());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "https://host/score",
        "http://localhost/score",
        "http://LocalHost:8080/score",
        "http://127.0.0.1/score",
        "http://127.1.2.3/score",
        "http://[::1]:8080/score",
        "http://[0:0:0:0:0:0:0:1]/score"
      })
  // Proves B23.
  void aKeyTravelsToLoopbackAndOverTls(String uri) {
    assertDoesNotThrow(() -> ScoringClient.create(uri, "hunter2").close());
  }

  // ---- the rest

  static Stream<Arguments> senselessOptions() {
    return Stream.of(
        option("timeout must be positive", b -> b.timeout(Duration.ZERO)),
        option("timeout must be positive", b -> b.timeout(Duration.ofMillis(-1))),
        option("connectTimeout must be positive", b -> b.connectTimeout(Duration.ZERO)),
        option("connectTimeout must be positive", b -> b.connectTimeout(Duration.ofSeconds(-5))),
        option("maxReplyBytes must be positive", b -> b.maxReplyBytes(0)),
        option("maxReplyBytes must be positive", b -> b.maxReplyBytes(-1)),
        option("attemptTimeout must be positive", b -> b.attemptTimeout(Duration.ZERO)),
        option("baseDelay must be positive", b -> b.baseDelay(Duration.ZERO)),
        option("maxDelay must be positive", b -> b.maxDelay(Duration.ofSeconds(-1))),
        option("maxRetries must not be negative", b -> b.maxRetries(-1)),
        option("retryStatuses: 200 is not between 400 and 599", b -> b.retryStatuses(503, 200)),
        option("retryStatuses: 600 is not between 400 and 599", b -> b.retryStatuses(600)),
        option("retryStatuses: 399 is not between 400 and 599", b -> b.retryStatuses(399)),
        option(
            "key and tokenProvider exclude each other",
            b -> b.key("K").tokenProvider(() -> new ScoringClient.AccessToken("T"))),
        option("the deployment is empty", b -> b.deployment("")),
        option(
            "the deployment has a character that cannot be sent in a header at position 3",
            b -> b.deployment("blu\u00e9")),
        option(
            "the deployment has a character that cannot be sent in a header at position 4",
            b -> b.deployment("blue\r\nX: 1")),
        option("the proxy must be http://host:port", b -> b.proxy("")),
        option("the proxy must be http://host:port", b -> b.proxy("host:3128")),
        option("the proxy must be http://host:port", b -> b.proxy("http://host")),
        option("the proxy must be http://host:port", b -> b.proxy("https://host:3128")),
        option("the proxy must be http://host:port", b -> b.proxy("http://host:0")),
        option("the proxy must be http://host:port", b -> b.proxy("http://host:65536")),
        option("the proxy must be http://host:port", b -> b.proxy("http://u:hunter2@host:3128")),
        option("the proxy must be http://host:port", b -> b.proxy("http://host:3128/path")),
        option(
            "the CA file cannot be read: no such file", b -> b.caFile(Path.of("no-such-file.pem"))),
        option("the CA file cannot be read: Is a directory", b -> b.caFile(Path.of("src"))),
        option("the CA file holds no certificate", b -> b.caFile(Path.of("README.md"))),
        option(
            "caFile has no effect with httpClient: set it there",
            b -> b.httpClient(HttpClient.newHttpClient()).caFile(Path.of("ca.pem"))),
        option(
            "proxy has no effect with httpClient: set it there",
            b -> b.httpClient(HttpClient.newHttpClient()).proxy("http://host:3128")),
        option(
            "connectTimeout has no effect with httpClient: set it there",
            b -> b.httpClient(HttpClient.newHttpClient()).connectTimeout(Duration.ofSeconds(1))));
  }

  private static Arguments option(String message, Consumer<ScoringClient.Builder> set) {
    return Arguments.of(message, Named.of("set", set));
  }

  // Proves B02, B60.
  @ParameterizedTest
  @MethodSource("senselessOptions")
  void senselessOptionsAreRefused(String message, Consumer<ScoringClient.Builder> set) {
    ScoringClient.Builder builder = ScoringClient.builder("https://host/score");
    set.accept(builder);
    assertEquals(
        message, assertThrows(IllegalArgumentException.class, builder::build).getMessage());
  }

  // Proves B02, B34.
  @Test
  void aSenselessTimeOfACallIsRefusedAndNothingSent() throws Exception {
    try (ScriptedServer server = ScriptedServer.replying("200 OK", "[2.5]");
        ScoringClient client = ScoringClient.create(server.uri("/score"), null)) {
      assertThrows(IllegalArgumentException.class, () -> client.score(ROWS, Duration.ZERO));
      assertEquals(0, server.connections());
    }
  }

  // Proves B02.
  @Test
  void aBuilderMayBeUsedAgainAndItsListIsACopy() throws Exception {
    int[] statuses = {503};
    try (ScriptedServer server = ScriptedServer.replying("503 Busy", "")) {
      ScoringClient.Builder builder =
          ScoringClient.builder(server.uri("/score"))
              .retryStatuses(statuses)
              .maxRetries(1)
              .time(new FakeTime(0.5));
      statuses[0] = 504;
      try (ScoringClient client = builder.build()) {
        builder.maxRetries(0).retryStatuses();
        assertEquals(
            2,
            assertThrows(ScoringClient.ServiceException.class, () -> client.score(ROWS))
                .attempts());
      }
    }
  }

  @Test
  void theLongestTimesWork() throws Exception {
    Duration endless = Duration.ofSeconds(Long.MAX_VALUE, 999_999_999);
    try (ScriptedServer server = ScriptedServer.replying("200 OK", "[2.5]");
        ScoringClient client =
            ScoringClient.builder(server.uri("/score"))
                .timeout(endless)
                .attemptTimeout(endless)
                .connectTimeout(endless)
                .baseDelay(endless)
                .maxDelay(endless)
                .build()) {
      assertArrayEquals(new double[] {2.5}, client.score(ROWS));
      assertArrayEquals(new double[] {2.5}, client.score(ROWS, endless));
    }
  }

  // Proves B03.
  @Test
  void aClosedClientSaysSo() throws Exception {
    try (ScriptedServer server = ScriptedServer.replying("200 OK", "[2.5]")) {
      ScoringClient client = ScoringClient.create(server.uri("/score"), null);
      client.score(ROWS);
      client.close();
      client.close();
      assertEquals(
          "the client is closed",
          assertThrows(IllegalStateException.class, () -> client.score(ROWS)).getMessage());
      assertEquals(1, server.requests().size());
      if (Runtime.version().feature() >= 21) { // before, when the client is collected
        server.awaitEndOfConnection();
      }
    }
  }

  // Proves B02, B16.
  @Test
  void anInjectedHttpClientIsUsedAndStaysOpen() throws Exception {
    HttpClient http = HttpClient.newHttpClient(); // which would ask for HTTP/2
    try (ScriptedServer server = ScriptedServer.replying("200 OK", "[2.5]")) {
      for (int i = 0; i < 2; i++) {
        try (ScoringClient client =
            ScoringClient.builder(server.uri("/score")).httpClient(http).build()) {
          assertArrayEquals(new double[] {2.5}, client.score(ROWS));
        }
      }
      assertEquals(1, server.connections(), "both clients use the pool of the one HTTP client");
      assertFalse(server.requests().get(0).headers().toString().contains("Upgrade"));
    }
  }
}
