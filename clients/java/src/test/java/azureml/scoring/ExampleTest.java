package azureml.scoring;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import azureml.scoring.ScoringClient.AccessToken;
import azureml.scoring.ScoringClient.ReplyException;
import azureml.scoring.ScoringClient.ServiceException;
import azureml.scoring.ScoringClient.TransportException;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The examples of the README: they work, and the README shows them as they are here. */
class ExampleTest {
  private final ByteArrayOutputStream printed = new ByteArrayOutputStream();
  private final PrintStream out = new PrintStream(printed, true, StandardCharsets.UTF_8);

  private void score(String scoringUri, String key) throws InterruptedException {
    // [START score]
    try (ScoringClient client = ScoringClient.create(scoringUri, key)) {
      double[][] rows = {
        {0.0199132141783263, 0.0506801187398187, 0.104808689473925, 0.0700725447072635},
        {-0.0127796318808497, -0.044641636506989, 0.0606183944448076, 0.0528581912385822}
      };
      for (double prediction : client.score(rows)) {
        out.println(prediction);
      }
    }
    // [END score]
  }

  private void errors(ScoringClient client, double[][] rows) {
    // [START errors]
    try {
      client.score(rows);
    } catch (IllegalArgumentException e) {
      out.println("fix the rows: " + e.getMessage());
    } catch (ServiceException e) {
      out.println("the service answered " + e.status() + " " + e.serviceMessage());
    } catch (TransportException e) {
      out.println("no answer, time limit passed: " + e.timedOut());
    } catch (ReplyException e) {
      out.println("no predictions: " + e.reason());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt(); // whoever interrupted wants the thread to end
    }
    // [END errors]
  }

  private ScoringClient options(String scoringUri) {
    // [START options]
    ScoringClient client =
        ScoringClient.builder(scoringUri)
            .tokenProvider(() -> new AccessToken(login(), Instant.now().plusSeconds(300)))
            .timeout(Duration.ofSeconds(30))
            .onRetry(retry -> out.println(retry.attempt() + ": " + retry.reason()))
            .build();
    // [END options]
    return client;
  }

  private static String login() {
    return "T1";
  }

  private String printed() {
    return printed.toString(StandardCharsets.UTF_8).replace(System.lineSeparator(), "\n");
  }

  @Test
  void thePredictionsArePrinted() throws Exception {
    try (ScriptedServer server =
        ScriptedServer.replying("200 OK", "[217.67978776218715, 224.78937091757172]")) {
      score(server.uri("/score"), "hunter2");
    }
    assertEquals("217.67978776218715\n224.78937091757172\n", printed());
  }

  @Test
  void theOptionsWork() throws Exception {
    try (ScriptedServer server =
            ScriptedServer.replying(
                ScriptedServer.reply("503 Busy\nretry-after-ms: 1", "busy"),
                ScriptedServer.reply("200 OK", "[2.5]"));
        ScoringClient client = options(server.uri("/score"))) {
      client.score(new double[][] {{1.5}});
      assertEquals(List.of("Bearer T1"), server.requests().get(1).header("Authorization"));
    }
    assertEquals("1: 503: busy\n", printed());
  }

  @Test
  void everyErrorHasItsBranch() throws Exception {
    double[][] rows = {{1.5}};
    try (ScriptedServer server =
            ScriptedServer.replying("503 Busy", "{\"message\": \"too many requests\"}");
        ScoringClient client = OneAttempt.create(server.uri("/score"), null)) {
      errors(client, new double[][] {{Double.NaN}});
      errors(client, rows);
    }
    try (Socket nobody = ScriptedServer.silentPort();
        ScoringClient client =
            OneAttempt.create("http://127.0.0.1:" + nobody.getLocalPort() + "/score", null)) {
      errors(client, rows);
    }
    try (ScriptedServer server = ScriptedServer.replying("200 OK", "[]");
        ScoringClient client = ScoringClient.create(server.uri("/score"), null)) {
      errors(client, rows);
      Thread.currentThread().interrupt();
      errors(client, rows);
      assertTrue(Thread.interrupted());
    }
    assertEquals(
        """
        fix the rows: row 0, column 0 is NaN: JSON has no such number
        the service answered 503 too many requests
        no answer, time limit passed: false
        no predictions: the reply has 0 predictions for 1 rows
        """,
        printed());
  }

  @ParameterizedTest
  @ValueSource(strings = {"score", "options", "errors"})
  void theReadmeShowsThisCode(String name) throws Exception {
    String source = Files.readString(Path.of("src/test/java/azureml/scoring/ExampleTest.java"));
    String code = between(source, "// [START " + name + "]\n", "    // [END " + name + "]");
    String readme = Files.readString(Path.of("README.md"));
    String shown =
        between(
            readme, "<!-- begin: " + name + " -->\n```java\n", "```\n<!-- end: " + name + " -->");
    assertEquals(code.replaceAll("(?m)^ {4}", "").replace("out.print", "System.out.print"), shown);
  }

  private static String between(String text, String start, String end) {
    Matcher region =
        Pattern.compile(Pattern.quote(start) + "(.*?)" + Pattern.quote(end), Pattern.DOTALL)
            .matcher(text);
    assertTrue(region.find(), "no region " + start.strip());
    return region.group(1);
  }
}
