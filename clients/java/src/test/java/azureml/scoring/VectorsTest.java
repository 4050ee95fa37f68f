package azureml.scoring;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.net.http.HttpHeaders;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The data that the clients of all languages share: what is repeated, when, and what was said. */
class VectorsTest {
  private static final Path FILE = Path.of("../test-vectors/retry.json");

  private interface Check {
    void run(JsonNode vector) throws Exception;
  }

  private static Stream<DynamicTest> each(String list, Check check) throws Exception {
    JsonNode vectors = new JsonMapper().readTree(FILE.toFile()).get(list);
    assertTrue(vectors.size() > 10, "no " + list);
    return StreamSupport.stream(vectors.spliterator(), false)
        .map(vector -> DynamicTest.dynamicTest(name(vector), () -> check.run(vector)));
  }

  private static String name(JsonNode vector) {
    return vector.has("name") ? vector.get("name").asText() : vector.toString();
  }

  private static HttpHeaders headers(JsonNode vector) {
    Map<String, List<String>> headers = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
    for (JsonNode header : vector.get("headers")) {
      headers
          .computeIfAbsent(header.get(0).asText(), name -> new ArrayList<>())
          .add(header.get(1).asText());
    }
    return HttpHeaders.of(headers, (name, value) -> true);
  }

  private static Duration seconds(JsonNode number) {
    return Duration.ofNanos(number.decimalValue().movePointRight(9).longValueExact());
  }

  // Proves B49.
  @TestFactory
  Stream<DynamicTest> hints() throws Exception {
    Instant now =
        Instant.ofEpochSecond(new JsonMapper().readTree(FILE.toFile()).get("now").longValue());
    return each(
        "hints",
        vector -> {
          JsonNode hint = vector.get("seconds");
          Optional<Duration> expected =
              hint.isNull() ? Optional.empty() : Optional.of(seconds(hint));
          assertEquals(expected, ScoringClient.retryHint(headers(vector), now));
        });
  }

  // Proves B49.
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      textBlock =
          """
          Fri, 31 Dec 9999 23:59:59 GMT | 999999999
          Sun, 06 Nov 0030 08:49:37 GMT | 0
          Sat, 01 Jan 0000 00:00:00 GMT | 0
          """)
  void datesFarAwayAreCapped(String date, long seconds) {
    HttpHeaders headers = HttpHeaders.of(Map.of("Retry-After", List.of(date)), (n, v) -> true);
    assertEquals(
        Optional.of(Duration.ofSeconds(seconds)),
        ScoringClient.retryHint(headers, Instant.parse("2026-11-24T12:00:00Z")));
  }

  // Proves B48.
  @TestFactory
  Stream<DynamicTest> backOff() throws Exception {
    return each(
        "back_off",
        vector -> {
          Duration wait =
              ScoringClient.backOff(
                  vector.get("retry").intValue(),
                  seconds(vector.get("base_delay")),
                  seconds(vector.get("max_delay")),
                  vector.get("random").doubleValue());
          assertEquals(vector.get("seconds").doubleValue(), wait.toNanos() / 1e9, 1e-6);
        });
  }

  // Proves B42, B43, B44, B45, B46, B47.
  @TestFactory
  Stream<DynamicTest> shouldRepeat() throws Exception {
    return each(
        "should_repeat",
        vector -> {
          Set<Integer> statuses = new TreeSet<>(Set.of(429, 500, 502, 503));
          if (vector.has("retry_statuses")) {
            statuses.clear();
            vector.get("retry_statuses").forEach(status -> statuses.add(status.intValue()));
          }
          StringBuilder reply = new StringBuilder(vector.get("status").asText() + " X");
          for (JsonNode header : vector.get("headers")) {
            reply.append("\n" + header.get(0).asText() + ": " + header.get(1).asText());
          }
          try (ScriptedServer server = ScriptedServer.replying(reply.toString(), "");
              ScoringClient client = OneAttempt.create(server.uri("/score"), null)) {
            ScoringClient.ScoringException error =
                assertThrows(
                    ScoringClient.ScoringException.class,
                    () -> client.score(new double[][] {{1.5}}));
            assertEquals(
                vector.get("repeated").booleanValue(), ScoringClient.shouldRepeat(error, statuses));
          }
        });
  }

  // Proves B62.
  @TestFactory
  Stream<DynamicTest> messages() throws Exception {
    return each(
        "messages",
        vector -> {
          byte[] body = vector.get("body").asText().getBytes(StandardCharsets.UTF_8);
          try (ScriptedServer server = ScriptedServer.replying("400 Bad Request", body);
              ScoringClient client = OneAttempt.create(server.uri("/score"), null)) {
            ScoringClient.ServiceException error =
                assertThrows(
                    ScoringClient.ServiceException.class,
                    () -> client.score(new double[][] {{1.5}}));
            assertEquals(400, error.status());
            assertEquals(vector.get("message").asText(), error.serviceMessage());
          }
        });
  }
}
