package azureml.scoring.adapter;

import azureml.scoring.ScoringClient;
import azureml.scoring.ScoringClient.AccessToken;
import azureml.scoring.ScoringClient.ReplyException;
import azureml.scoring.ScoringClient.Retry;
import azureml.scoring.ScoringClient.ServiceException;
import azureml.scoring.ScoringClient.TransportException;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.math.BigDecimal;
import java.math.RoundingMode;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.HexFormat;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.IntStream;

/**
 * Speaks level 2 of the adapter protocol for {@link ScoringClient}: JSON lines on standard input
 * and output.
 */
final class Adapter {
  private static final int MAX_IN_FLIGHT = 64;
  private static final Duration LONGEST = Duration.ofDays(1); // a client's own limit is shorter
  private static final JsonMapper JSON =
      new JsonMapper(
          JsonFactory.builder()
              .streamReadConstraints(
                  StreamReadConstraints.builder().maxStringLength(Integer.MAX_VALUE).build())
              .build());
  private static final HexFormat HEX = HexFormat.of();
  private static final AtomicLong NEXT_ID = new AtomicLong();
  private static final Map<String, ScoringClient> CLIENTS = new ConcurrentHashMap<>();
  private static final Map<String, Thread> CALLS = new ConcurrentHashMap<>();
  private static final Map<String, CompletableFuture<JsonNode>> QUESTIONS =
      new ConcurrentHashMap<>();

  private Adapter() {}

  /** The token provider's own exception. */
  private static final class ProviderException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private ProviderException(String text) {
      super(text);
    }
  }

  /** The retry hook's own exception. */
  private static final class HookException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private HookException() {
      super("the hook failed");
    }
  }

  public static void main(String[] args) throws IOException {
    BufferedReader requests =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = requests.readLine(); line != null; line = requests.readLine()) {
      JsonNode request = JSON.readTree(line);
      String id = request.path("id").asText();
      if (request.has("answer")) {
        QUESTIONS.remove(id).complete(request.get("answer"));
      } else if (request.path("op").asText().equals("cancel")) {
        Thread call = CALLS.get(request.path("call").asText());
        if (call != null) {
          call.interrupt();
        }
        write(JSON.createObjectNode().put("id", id).set("ok", JSON.createObjectNode()));
      } else {
        Thread call = new Thread(() -> run(request, id)); // its own: an interrupt meets no other
        CALLS.put(id, call);
        call.start();
      }
    }
  }

  private static void run(JsonNode request, String id) {
    ObjectNode reply = answer(request);
    CALLS.remove(id);
    write(reply);
  }

  private static ObjectNode answer(JsonNode request) {
    ObjectNode reply = JSON.createObjectNode().put("id", request.path("id").textValue());
    String op = request.path("op").asText();
    try {
      ObjectNode ok = JSON.createObjectNode();
      if (op.equals("hello")) {
        hello(ok);
      } else if (op.equals("open")) {
        CLIENTS.put(request.path("client").asText(), open(request));
      } else if (op.equals("close")) {
        CLIENTS.get(request.path("client").asText()).close();
      } else if (op.equals("score") && !request.has("client")) {
        String key = request.path("key").textValue(); // null: none
        String uri = request.path("scoring_uri").asText();
        try (ScoringClient client = ScoringClient.create(uri, key)) {
          call(op, request, client, ok);
        }
      } else {
        call(op, request, CLIENTS.get(request.path("client").asText()), ok);
      }
      reply.set("ok", ok);
    } catch (UnsupportedOperationException e) {
      reply.put("unsupported", e.getMessage());
    } catch (Exception | StackOverflowError e) {
      describe(e, reply.putObject("error").put("text", String.valueOf(e.getMessage())));
    }
    return reply;
  }

  private static void hello(ObjectNode ok) {
    ok.put("protocol", 1).put("level", 2).put("max_in_flight", MAX_IN_FLIGHT);
    var capabilities =
        ok.putArray("capabilities")
            .add("token_provider")
            .add("on_retry")
            .add("ca_file")
            .add("proxy")
            .add("cancel");
    if (Runtime.version().feature() >= 21) { // HttpClient cannot be closed before
      capabilities.add("close");
    }
    ok.putObject("client")
        .put("name", "java")
        .put("language", "Java")
        .put("language_version", Runtime.version().toString())
        .put("http_library", "java.net.http");
  }

  private static ScoringClient open(JsonNode request) {
    String name = request.path("client").asText();
    ScoringClient.Builder client = ScoringClient.builder(request.path("scoring_uri").asText());
    for (Map.Entry<String, JsonNode> option : request.path("options").properties()) {
      JsonNode value = option.getValue();
      switch (option.getKey()) {
        case "key" -> client.key(value.textValue());
        case "token_provider" -> client.tokenProvider(() -> ask(name));
        case "timeout" -> client.timeout(seconds(value));
        case "attempt_timeout" -> client.attemptTimeout(seconds(value));
        case "connect_timeout" -> client.connectTimeout(seconds(value));
        case "base_delay" -> client.baseDelay(seconds(value));
        case "max_delay" -> client.maxDelay(seconds(value));
        case "max_retries" -> client.maxRetries(value.intValue());
        case "retry_statuses" ->
            client.retryStatuses(
                IntStream.range(0, value.size()).map(i -> value.get(i).intValue()).toArray());
        case "max_reply_bytes" -> client.maxReplyBytes(value.intValue());
        case "deployment" -> client.deployment(value.textValue());
        case "ca_file" -> client.caFile(Path.of(value.textValue()));
        case "proxy" -> client.proxy(value.textValue());
        case "allow_insecure_http" -> client.allowInsecureHttp(value.booleanValue());
        case "on_retry" -> {
          boolean fails = value.textValue().equals("throw");
          client.onRetry(retry -> tell(name, retry, fails));
        }
        default -> throw new UnsupportedOperationException(option.getKey());
      }
    }
    return client.build();
  }

  private static void call(String op, JsonNode request, ScoringClient client, ObjectNode ok)
      throws IOException, InterruptedException {
    Duration limit = request.has("timeout") ? seconds(request.get("timeout")) : LONGEST;
    switch (op) {
      case "score" -> {
        ArrayNode bits = ok.putArray("predictions");
        for (double prediction : client.score(rows(request.path("rows")), limit)) {
          bits.add(HEX.toHexDigits(Double.doubleToRawLongBits(prediction)));
        }
      }
      case "score_json" -> ok.put("json", client.scoreJson(request.path("json").asText(), limit));
      case "score_bytes" -> {
        String type = request.path("content_type").asText("application/octet-stream");
        ok.put("body", client.scoreBytes(request.path("body").binaryValue(), type, limit));
      }
      case "swagger" -> ok.put("json", client.swagger(limit));
      case "health" -> ok.put("healthy", client.isHealthy(limit));
      default -> throw new UnsupportedOperationException(op);
    }
  }

  private static AccessToken ask(String client) {
    String id = "q" + NEXT_ID.incrementAndGet();
    CompletableFuture<JsonNode> question = new CompletableFuture<>();
    QUESTIONS.put(id, question);
    write(JSON.createObjectNode().put("id", id).put("ask", "token").put("client", client));
    JsonNode answer = question.join();
    if (answer.has("error")) {
      throw new ProviderException(answer.get("error").textValue());
    }
    JsonNode refreshBy = answer.path("refresh_by");
    Instant by = refreshBy.isNumber() ? Instant.EPOCH.plus(seconds(refreshBy)) : null;
    return new AccessToken(answer.path("token").asText(), by);
  }

  private static void tell(String client, Retry retry, boolean fails) {
    write(
        JSON.createObjectNode()
            .put("id", "n" + NEXT_ID.incrementAndGet())
            .put("tell", "retry")
            .put("client", client)
            .put("attempt", retry.attempt())
            .put("wait", seconds(retry.delay()))
            .put("reason", retry.reason()));
    if (fails) {
      throw new HookException();
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

  private static double seconds(Duration time) {
    return time.getSeconds() + time.getNano() / 1e9; // toNanos overflows after 292 years
  }

  private static Duration seconds(JsonNode value) {
    BigDecimal nanos = value.decimalValue().movePointRight(9);
    return Duration.ofNanos(nanos.setScale(0, RoundingMode.HALF_UP).longValue());
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
          .put("client_request_id", service.clientRequestId())
          .put("retry_after", service.retryAfter().map(Adapter::seconds).orElse(null))
          .put("model_reason", service.modelReason().orElse(null))
          .put("run_function_failed", service.runFunctionFailed());
      error.putNull("model_status");
      service.modelStatus().ifPresent(status -> error.put("model_status", status));
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
    } else if (e instanceof ProviderException) {
      error.put("kind", "provider");
    } else if (e instanceof HookException) {
      error.put("kind", "hook");
    } else if (e instanceof IllegalStateException closed
        && "the client is closed".equals(closed.getMessage())) {
      error.put("kind", "closed");
    } else {
      error.put("kind", "unexpected").put("text", e.toString());
    }
  }

  private static void write(JsonNode line) {
    try {
      byte[] bytes = (JSON.writeValueAsString(line) + "\n").getBytes(StandardCharsets.UTF_8);
      synchronized (System.out) {
        System.out.write(bytes);
        System.out.flush();
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
