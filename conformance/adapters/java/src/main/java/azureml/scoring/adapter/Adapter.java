package azureml.scoring.adapter;

import azureml.scoring.ScoringClient;
import azureml.scoring.ScoringClient.ReplyException;
import azureml.scoring.ScoringClient.ServiceException;
import azureml.scoring.ScoringClient.TransportException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

/**
 * Speaks level 1 of the adapter protocol for {@link ScoringClient}: JSON lines on standard input
 * and output.
 */
final class Adapter {
  private static final int MAX_IN_FLIGHT = 16;
  private static final JsonMapper JSON = new JsonMapper();
  private static final HexFormat HEX = HexFormat.of();

  private Adapter() {}

  public static void main(String[] args) throws IOException, InterruptedException {
    BufferedReader requests =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    ExecutorService calls = Executors.newFixedThreadPool(MAX_IN_FLIGHT);
    try {
      for (String line = requests.readLine(); line != null; line = requests.readLine()) {
        JsonNode request = JSON.readTree(line);
        calls.execute(() -> write(answer(request)));
      }
    } finally {
      calls.shutdown(); // what is under way goes on
    }
    calls.awaitTermination(Long.MAX_VALUE, TimeUnit.NANOSECONDS);
  }

  private static ObjectNode answer(JsonNode request) {
    ObjectNode reply = JSON.createObjectNode().put("id", request.path("id").textValue());
    String op = request.path("op").asText();
    switch (op) {
      case "hello" -> hello(reply.putObject("ok"));
      case "score" -> score(request, reply);
      default -> reply.put("unsupported", op);
    }
    return reply;
  }

  private static void hello(ObjectNode ok) {
    ok.put("protocol", 1)
        .put("level", 1)
        .put("max_in_flight", MAX_IN_FLIGHT)
        .putArray("capabilities");
    ok.putObject("client")
        .put("name", "java")
        .put("language", "Java")
        .put("language_version", Runtime.version().toString())
        .put("http_library", "java.net.http");
  }

  private static void score(JsonNode request, ObjectNode reply) {
    String key = request.path("key").textValue(); // null: none
    try (ScoringClient client = ScoringClient.create(request.path("scoring_uri").asText(), key)) {
      double[] predictions = client.score(rows(request.path("rows")));
      ArrayNode bits = reply.putObject("ok").putArray("predictions");
      for (double prediction : predictions) {
        bits.add(HEX.toHexDigits(Double.doubleToRawLongBits(prediction)));
      }
    } catch (Exception | StackOverflowError e) {
      describe(e, reply.putObject("error").put("text", String.valueOf(e.getMessage())));
    }
  }

  private static double[][] rows(JsonNode rows) {
    double[][] values = new double[rows.size()][];
    for (int i = 0; i < values.length; i++) {
      values[i] = new double[rows.get(i).size()];
      for (int j = 0; j < values[i].length; j++) {
        long bits = HexFormat.fromHexDigitsToLong(rows.get(i).get(j).asText());
        values[i][j] = Double.longBitsToDouble(bits);
      }
    }
    return values;
  }

  private static void describe(Throwable e, ObjectNode error) {
    if (e instanceof ServiceException service) {
      error
          .put("kind", "service")
          .put("attempts", service.attempts())
          .put("status", service.status())
          .put("message", service.serviceMessage())
          .put("body", service.body())
          .put("request_id", service.requestId().orElse(null))
          .put("client_request_id", service.clientRequestId());
    } else if (e instanceof TransportException transport) {
      error
          .put("kind", "transport")
          .put("attempts", transport.attempts())
          .put("timed_out", transport.timedOut());
    } else if (e instanceof ReplyException reply) {
      error.put("kind", "reply").put("attempts", reply.attempts());
    } else if (e instanceof IllegalArgumentException) {
      error.put("kind", "argument");
    } else if (e instanceof InterruptedException) {
      error.put("kind", "cancelled");
    } else {
      error.put("kind", "unexpected").put("text", e.toString());
    }
  }

  private static void write(ObjectNode reply) {
    try {
      byte[] line = (JSON.writeValueAsString(reply) + "\n").getBytes(StandardCharsets.UTF_8);
      synchronized (System.out) {
        System.out.write(line);
        System.out.flush();
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
