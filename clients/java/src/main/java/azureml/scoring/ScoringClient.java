package azureml.scoring;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.json.JsonReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.EOFException;
import java.math.BigDecimal;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.ProtocolException;
import java.net.URI;
import java.net.URISyntaxException;
import java.net.UnknownHostException;
import java.net.http.HttpClient;
import java.net.http.HttpConnectTimeoutException;
import java.net.http.HttpHeaders;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandler;
import java.net.http.HttpResponse.BodySubscriber;
import java.net.http.HttpResponse.ResponseInfo;
import java.net.http.HttpTimeoutException;
import java.nio.ByteBuffer;
import java.nio.channels.UnresolvedAddressException;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Flow;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLParameters;

/**
 * Calls a model that is deployed as a web service with Azure Machine Learning.
 *
 * <p>The client is this one file: copy it into a project of your own. It needs Java 17 or later and
 * {@code com.fasterxml.jackson.core:jackson-databind} 2.x.
 *
 * <pre>{@code
 * try (ScoringClient client = ScoringClient.create(scoringUri, key)) {
 *   double[] predictions = client.score(new double[][] {{1.5, 2.5}, {3.5, 4.5}});
 * }
 * }</pre>
 *
 * <p>What can go wrong has a type each:
 *
 * <ul>
 *   <li>{@link IllegalArgumentException}: a bad URI, key, option or row; nothing was sent
 *   <li>{@link ServiceException}: the service answered with a status other than 2xx
 *   <li>{@link TransportException}: no whole answer came: refused, reset, TLS, a time limit
 *   <li>{@link ReplyException}: the answer is 2xx and not one number for each row
 * </ul>
 *
 * <p>{@link ScoringException} is the base of the last three. A thread that is interrupted gets
 * {@link InterruptedException}.
 *
 * <p>A client is immutable, and threads may share it: make one and keep it, it reuses connections.
 * Its methods block, and are made to be called from virtual threads where there are any (Java 21).
 *
 * <p>Ids such as B20 name a rule of the clients, W02 and C01 a fact about the service; the README
 * beside the clients lists them.
 */
public final class ScoringClient implements AutoCloseable {

  // Bytes of an error's body that are kept (B54), characters of a foreign text that are shown.
  private static final int MAX_ERROR_BODY = 64 << 10;
  private static final int MAX_TEXT = 300;
  private static final Duration CENTURY = Duration.ofDays(36_500); // in nanoseconds still a long

  private static final JsonMapper JSON =
      JsonMapper.builder().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS).build();

  private static final String NOT_ABSOLUTE =
      "the scoring URI must be an absolute http or https URI";
  private static final Pattern NOT_IN_HEADER = Pattern.compile("[^!-~]");
  private static final Pattern NOT_IN_URI = Pattern.compile("[^!-~]|[\"<>\\\\^`{|}]");
  private static final Pattern HTML_PAGE = Pattern.compile("(?i)<(!doctype|html|head|body)\\b");
  private static final Pattern HTML_TITLE = Pattern.compile("(?is)<title[^>]*>([^<]*)");

  // Escapes of letters, digits and -._~
  private static final Pattern NEEDLESS_ESCAPE =
      Pattern.compile("%(?:2[DEde]|3[0-9]|4[1-9A-Fa-f]|5[0-9AFaf]|6[1-9A-Fa-f]|7[0-9AEae])");

  // Control characters, ends of lines, what turns the direction of writing.
  private static final Pattern UNPRINTABLE =
      Pattern.compile("[\\p{Cc}\\p{Zl}\\p{Zp}\\u061C\\u200E\\u200F\\u202A-\\u202E\\u2066-\\u2069]");

  private final URI uri;
  private final String key; // null: no credential
  private final Duration timeout;
  private final Duration connectTimeout; // null: the HTTP client is the caller's
  private final int maxReplyBytes;
  private final HttpClient http;
  private volatile boolean closed;

  /** Options of a {@link ScoringClient}. They are checked by {@link #build}. */
  public static final class Builder {
    private final String scoringUri;
    private String key;
    private Duration timeout = Duration.ofSeconds(100);
    private Duration connectTimeout; // null: 10 s
    private int maxReplyBytes = 64 << 20;
    private boolean allowInsecureHttp;
    private HttpClient httpClient;

    private Builder(String scoringUri) {
      this.scoringUri = Objects.requireNonNull(scoringUri, "scoringUri");
    }

    /**
     * Sets the key, or a token that does not change, sent as {@code Authorization: Bearer <key>}
     * (W22).
     *
     * @param key the key as the service shows it; default null: no credential, and no such header
     * @return this builder
     */
    public Builder key(String key) {
      this.key = key;
      return this;
    }

    /**
     * Limits a whole call, from the look-up of the host name to the last byte of the reply.
     *
     * @param timeout a positive time; default 100 s
     * @return this builder
     */
    public Builder timeout(Duration timeout) {
      this.timeout = Objects.requireNonNull(timeout, "timeout");
      return this;
    }

    /**
     * Limits name look-up, TCP and TLS together.
     *
     * @param connectTimeout a positive time; default 10 s
     * @return this builder
     */
    public Builder connectTimeout(Duration connectTimeout) {
      this.connectTimeout = Objects.requireNonNull(connectTimeout, "connectTimeout");
      return this;
    }

    /**
     * Limits the size of a successful reply.
     *
     * @param maxReplyBytes a positive number of bytes; default 64 MiB
     * @return this builder
     */
    public Builder maxReplyBytes(int maxReplyBytes) {
      this.maxReplyBytes = maxReplyBytes;
      return this;
    }

    /**
     * Lets the key travel over plain http to a host that is not loopback (C13).
     *
     * @param allowInsecureHttp whether the network is trusted; default false: such a URI with a key
     *     is refused
     * @return this builder
     */
    public Builder allowInsecureHttp(boolean allowInsecureHttp) {
      this.allowInsecureHttp = allowInsecureHttp;
      return this;
    }

    /**
     * Makes the requests with this HTTP client in place of the scoring client's own, which follows
     * no redirect, keeps no cookie, verifies certificates with TLS 1.2 or later, and finds its
     * proxy where the JVM does. You now own redirects, proxies, TLS and the time to connect, so
     * {@link #connectTimeout} must not be set. It is not closed with the client.
     *
     * @param httpClient the HTTP client
     * @return this builder
     */
    public Builder httpClient(HttpClient httpClient) {
      this.httpClient = Objects.requireNonNull(httpClient, "httpClient");
      return this;
    }

    /**
     * Makes the client.
     *
     * @return a client with these options
     * @throws IllegalArgumentException if the URI or an option makes no sense: a URI with user
     *     info, a fragment, dot segments or needless escapes, a key that cannot travel in a header,
     *     a key over plain http (see {@link #allowInsecureHttp}), a time or size that is not
     *     positive
     */
    public ScoringClient build() {
      return new ScoringClient(this);
    }
  }

  /**
   * Starts the options of a client.
   *
   * @param scoringUri an absolute http or https URI, whose path and query are used exactly as given
   *     (W02, C06). It is a text because {@link URI#create} shows a URI that it refuses, with what
   *     is secret in it
   * @return a builder with the defaults
   */
  public static Builder builder(String scoringUri) {
    return new Builder(scoringUri);
  }

  /**
   * Makes a client with the default options.
   *
   * @param scoringUri an absolute http or https URI, see {@link #builder}
   * @param key the key, or null if the service wants none
   * @return the client
   * @throws IllegalArgumentException if the URI or the key makes no sense
   */
  public static ScoringClient create(String scoringUri, String key) {
    return builder(scoringUri).key(key).build();
  }

  private ScoringClient(Builder options) {
    uri = parseUri(options.scoringUri);
    key = options.key;
    boolean loopback = isLoopback(uri.getHost());
    if (key != null) {
      checkKey(key);
      check(
          uri.getScheme().equalsIgnoreCase("https") || loopback || options.allowInsecureHttp,
          "a key over plain http to a host that is not loopback:"
              + " use https, or allowInsecureHttp if the network is trusted");
    }
    check(options.maxReplyBytes > 0, "maxReplyBytes must be positive");
    maxReplyBytes = options.maxReplyBytes;
    timeout = checkTime("timeout", options.timeout);
    if (options.httpClient == null) {
      Duration given = Objects.requireNonNullElse(options.connectTimeout, Duration.ofSeconds(10));
      connectTimeout = checkTime("connectTimeout", given);
      http = newHttpClient(connectTimeout, loopback);
    } else {
      check(
          options.connectTimeout == null,
          "connectTimeout has no effect with httpClient: set it there");
      connectTimeout = null;
      http = options.httpClient;
    }
  }

  /**
   * Sends rows as {@code {"data": rows}} in one POST and returns their predictions (C01, C04, C09).
   *
   * <p>Rows may be ragged or empty: that is for the service to judge. They must not be changed
   * during the call.
   *
   * @param rows the rows, of finite numbers, each sent bit for bit
   * @return one prediction for each row, in order
   * @throws IllegalArgumentException if a number is NaN or an infinity; nothing was sent
   * @throws ServiceException if the service answered with a status other than 2xx
   * @throws TransportException if no whole answer came
   * @throws ReplyException if the answer is not an array with one finite number for each row
   * @throws InterruptedException if the thread is interrupted; the connection of the call is closed
   * @throws IllegalStateException if the client is closed
   */
  public double[] score(double[][] rows) throws InterruptedException {
    return score(rows, timeout);
  }

  /**
   * Like {@link #score(double[][])}, with a time limit for this call.
   *
   * @param rows the rows
   * @param timeout a positive time; it can only shorten the client's own
   * @return one prediction for each row, in order
   * @throws InterruptedException if the thread is interrupted; the connection of the call is closed
   */
  public double[] score(double[][] rows, Duration timeout) throws InterruptedException {
    Duration given = checkTime("timeout", Objects.requireNonNull(timeout, "timeout"));
    Duration limit = given.compareTo(this.timeout) < 0 ? given : this.timeout;
    byte[] payload = encodeRows(rows);
    if (closed) {
      throw new IllegalStateException("the client is closed");
    }
    Call call = new Call(limit);
    Reply reply = perform(call, payload);
    try {
      return parsePredictions(reply.body, rows.length);
    } catch (WrongReply wrong) {
      throw replyError(call, wrong.getMessage(), reply.body, false);
    }
  }

  /**
   * Closes the client; calls after that get {@link IllegalStateException}. From Java 21 on this
   * waits for calls under way and closes the connections; before, they go when the client is
   * collected.
   */
  @Override
  public void close() {
    closed = true;
    // An HttpClient is AutoCloseable since Java 21.
    if (connectTimeout != null && (Object) http instanceof AutoCloseable closeable) {
      try {
        closeable.close();
      } catch (Exception e) {
        throw new IllegalStateException("the HTTP client cannot be closed", e); // it declares none
      }
    }
  }

  /** Names the scoring URI, without its query. */
  @Override
  public String toString() {
    return "ScoringClient(" + foreign(shownUri(), false) + ")";
  }

  // ---- one call, one attempt

  /** One call of a method: what its attempts have in common, and how many there were. */
  private static final class Call {
    private final String clientRequestId = UUID.randomUUID().toString(); // B15
    private final Duration limit;
    private final long start = System.nanoTime();
    private int attempts;

    private Call(Duration limit) {
      this.limit = limit;
    }

    private long nanosLeft() {
      return limit.toNanos() - (System.nanoTime() - start);
    }
  }

  /** What one attempt came to. */
  private sealed interface Outcome permits Reply, Failure {}

  /** A status, and what is kept of the body that came with it; {@code cut}: more came than that. */
  private record Reply(int status, HttpHeaders headers, byte[] body, boolean cut)
      implements Outcome {
    private boolean isSuccess() {
      return isSuccess(status);
    }

    private static boolean isSuccess(int status) {
      return status >= 200 && status <= 299;
    }

    private String header(String name) {
      return headers.firstValue(name).orElse("");
    }
  }

  /** No reply, or a success that broke off. */
  private record Failure(String what, boolean timedOut, Throwable cause) implements Outcome {}

  /** Makes one call and returns its reply, a 2xx that is whole. */
  private Reply perform(Call call, byte[] payload) throws InterruptedException {
    Outcome outcome = send(call, payload);
    if (outcome instanceof Failure failure) {
      throw transportError(call, failure);
    }
    Reply reply = (Reply) outcome;
    if (!reply.isSuccess()) {
      throw serviceError(call, reply);
    }
    String encoding = String.join(", ", reply.headers.allValues("Content-Encoding"));
    if (!encoding.isEmpty() && !encoding.equalsIgnoreCase("identity")) {
      String reason = "the reply has Content-Encoding: " + encoding + ", which was not asked for";
      throw replyError(call, reason, new byte[0], false); // its bytes say nothing to a reader
    }
    if (reply.cut) {
      String reason = "the reply is larger than " + maxReplyBytes + " bytes";
      throw replyError(call, reason, reply.body, true);
    }
    return reply;
  }

  /** Makes one attempt, within what is left of the call's time. */
  private Outcome send(Call call, byte[] payload) throws InterruptedException {
    CompletableFuture<Void> connected = new CompletableFuture<>();
    HttpRequest.Builder request =
        HttpRequest.newBuilder(uri)
            .version(HttpClient.Version.HTTP_1_1)
            .header("Content-Type", "application/json")
            .header("x-ms-client-request-id", call.clientRequestId)
            .POST(announcing(payload, connected));
    if (key != null) {
      request.header("Authorization", "Bearer " + key);
    }
    Receiver receiver = new Receiver(maxReplyBytes);
    call.attempts++;
    // Not HttpRequest.timeout: it ends at the headers, and a body may drip for ever.
    CompletableFuture<HttpResponse<Void>> response = http.sendAsync(request.build(), receiver);
    try {
      if (connectTimeout != null && connectTimeout.toNanos() < call.nanosLeft()) {
        awaitConnection(connected, response);
      }
      HttpResponse<Void> head = response.get(call.nanosLeft(), TimeUnit.NANOSECONDS);
      return receiver.reply(head.statusCode(), head.headers());
    } catch (ExecutionException e) {
      return failure(call, receiver, e.getCause());
    } catch (TimeoutException | HttpConnectTimeoutException e) {
      return failure(call, receiver, e);
    } finally {
      response.cancel(true); // closes the connection of a call that is given up
    }
  }

  /**
   * Waits for the connection, because {@link HttpClient}'s limit leaves out name look-up and
   * proxies.
   */
  private void awaitConnection(CompletableFuture<?> connected, CompletableFuture<?> response)
      throws InterruptedException, ExecutionException, HttpConnectTimeoutException {
    try {
      CompletableFuture.anyOf(connected, response)
          .get(connectTimeout.toNanos(), TimeUnit.NANOSECONDS);
    } catch (TimeoutException e) {
      throw new HttpConnectTimeoutException("no connection within " + seconds(connectTimeout));
    }
  }

  /** A body that tells when it is asked for: by then there is a connection, TLS included. */
  private static BodyPublisher announcing(byte[] payload, CompletableFuture<Void> connected) {
    BodyPublisher body = BodyPublishers.ofByteArray(payload);
    return BodyPublishers.fromPublisher(
        subscriber -> {
          connected.complete(null);
          body.subscribe(subscriber);
        },
        payload.length);
  }

  /** Receives one reply, and keeps what came of it, also when the rest never comes. */
  private static final class Receiver implements BodyHandler<Void>, BodySubscriber<Void> {
    private final CompletableFuture<Void> done = new CompletableFuture<>();
    private final List<ByteBuffer> parts = new ArrayList<>();
    private final int maxReplyBytes;
    private ResponseInfo head; // null: none came
    private Flow.Subscription source;
    private int room;
    private boolean cut;

    private Receiver(int maxReplyBytes) {
      this.maxReplyBytes = maxReplyBytes;
    }

    @Override
    public synchronized BodySubscriber<Void> apply(ResponseInfo head) {
      this.head = head;
      room = Reply.isSuccess(head.statusCode()) ? maxReplyBytes : MAX_ERROR_BODY;
      return this;
    }

    @Override
    public CompletionStage<Void> getBody() {
      return done;
    }

    @Override
    public synchronized void onSubscribe(Flow.Subscription source) {
      this.source = source;
      source.request(Long.MAX_VALUE);
    }

    @Override
    public synchronized void onNext(List<ByteBuffer> buffers) {
      for (ByteBuffer buffer : buffers) {
        int kept = Math.min(room, buffer.remaining());
        parts.add(buffer.slice(buffer.position(), kept));
        room -= kept;
        cut |= kept < buffer.remaining();
      }
      if (cut) {
        done.complete(null);
        source.cancel();
      }
    }

    @Override
    public void onError(Throwable error) {
      done.completeExceptionally(error);
    }

    @Override
    public void onComplete() {
      done.complete(null);
    }

    /** What there is of a reply, or null if no status came. */
    private synchronized Reply partialReply() {
      return head == null ? null : reply(head.statusCode(), head.headers());
    }

    private synchronized Reply reply(int status, HttpHeaders headers) {
      ByteBuffer body = ByteBuffer.allocate(parts.stream().mapToInt(ByteBuffer::remaining).sum());
      parts.forEach(part -> body.put(part.duplicate()));
      return new Reply(status, headers, body.array(), cut);
    }
  }

  // ---- classification

  /**
   * What an attempt came to that did not end well: after an error's status that status, whatever
   * becomes of the body (B50).
   */
  private Outcome failure(Call call, Receiver receiver, Throwable cause) {
    if (cause instanceof Error error) {
      throw error;
    }
    Reply partial = receiver.partialReply();
    if (partial != null && !partial.isSuccess()) {
      return partial;
    }
    boolean timedOut = cause instanceof TimeoutException || cause instanceof HttpTimeoutException;
    return new Failure(whatHappened(call, partial != null, cause), timedOut, cause);
  }

  private String whatHappened(Call call, boolean begun, Throwable cause) {
    Throwable root = causes(cause).reduce((outer, inner) -> inner).orElseThrow();
    String message = String.valueOf(cause.getMessage());
    if (cause instanceof TimeoutException) {
      return "no complete reply within " + seconds(call.limit);
    }
    if (cause instanceof HttpConnectTimeoutException) {
      return connectTimeout != null ? "no connection within " + seconds(connectTimeout) : message;
    }
    if (root instanceof UnresolvedAddressException) {
      return "the host name cannot be resolved";
    }
    if (cause instanceof ConnectException) { // which has no message when refused
      return cause.getMessage() == null ? "cannot connect" : "cannot connect: " + message;
    }
    if (cause instanceof SSLException) {
      boolean closed = message.startsWith("Remote host ");
      return closed ? "the connection was closed inside TLS" : "TLS failed: " + message;
    }
    if (String.valueOf(root.getMessage()).startsWith("Connection reset")) {
      return "the connection was reset";
    }
    if (root instanceof EOFException) {
      return begun ? "the reply was cut off" : "the connection was closed before the reply";
    }
    if (cause instanceof ProtocolException || cause instanceof NumberFormatException) {
      return "the reply is not valid HTTP: " + message;
    }
    return message;
  }

  /** The service's own words in the body of an error (W03, W45), empty if there are none. */
  private static String serviceMessage(byte[] body) {
    String text = withoutMark(new String(body, StandardCharsets.UTF_8)).strip();
    try {
      JsonNode json = JSON.readTree(text);
      JsonNode error = json.path("error");
      return firstText(
          json.path("message"), error.path("message"), error, json.path("detail"), json);
    } catch (JsonProcessingException notJson) {
      if (!HTML_PAGE.matcher(text).lookingAt()) {
        return text;
      }
    }
    Matcher title = HTML_TITLE.matcher(text);
    return title.find() ? withoutEntities(title.group(1).strip().replaceAll("\\s+", " ")) : "";
  }

  private static String firstText(JsonNode... candidates) {
    return Stream.of(candidates)
        .filter(JsonNode::isTextual)
        .map(JsonNode::textValue)
        .filter(text -> !text.isBlank())
        .findFirst()
        .orElse("");
  }

  /** Why a 2xx reply is none that was asked for. */
  private static final class WrongReply extends Exception {
    private static final long serialVersionUID = 1L;

    private WrongReply(String reason) {
      super(reason);
    }
  }

  /** Reads an array with one finite number for each row (B51). */
  private static double[] parsePredictions(byte[] body, int rows) throws WrongReply {
    JsonNode reply = parseJson(body);
    if (!reply.isArray()) {
      String reason = "the reply is a JSON " + kind(reply) + ", not an array";
      if (reply.isTextual()) {
        throw new WrongReply(reason + "; the scoring script probably calls json.dumps itself");
      }
      JsonNode error = reply.path("error");
      String text = firstText(error.path("message"), error);
      throw new WrongReply(text.isEmpty() ? reason : reason + ": " + text);
    }
    double[] predictions = new double[reply.size()];
    for (int i = 0; i < predictions.length; i++) {
      JsonNode element = reply.get(i);
      if (!element.isNumber()) { // asDouble would make numbers of null, true and "1"
        throw new WrongReply(
            "element " + i + " of the reply is a JSON " + kind(element) + ", not a number");
      }
      predictions[i] = element.doubleValue();
      if (!Double.isFinite(predictions[i])) {
        throw new WrongReply("element " + i + " of the reply is not a finite number");
      }
    }
    if (predictions.length != rows) {
      throw new WrongReply(
          "the reply has " + predictions.length + " predictions for " + rows + " rows");
    }
    return predictions;
  }

  /** Reads one JSON value in UTF-8, whatever the reply's headers say (B52). */
  private static JsonNode parseJson(byte[] body) throws WrongReply {
    String text;
    try { // Jackson would take bytes for UTF-16 or UTF-32 as well
      text =
          withoutMark(StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(body)).toString());
    } catch (CharacterCodingException e) {
      throw new WrongReply("the reply is not valid UTF-8");
    }
    JsonNode reply;
    try {
      reply = JSON.readTree(text);
    } catch (JsonProcessingException e) {
      throw new WrongReply(
          isJsonButForNaN(text)
              ? "the reply contains NaN or Infinity, which is not JSON"
              : "the reply is not JSON");
    }
    if (reply.isMissingNode()) {
      throw new WrongReply("the reply is empty");
    }
    return reply;
  }

  /** Tells what Python's json.dumps makes of a NaN (W09) from other text that is not JSON. */
  private static boolean isJsonButForNaN(String text) {
    try {
      return !JSON.reader()
          .with(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS)
          .readTree(text)
          .isMissingNode();
    } catch (JsonProcessingException e) {
      return false;
    }
  }

  private static String kind(JsonNode value) {
    return value.getNodeType().name().toLowerCase(Locale.ROOT);
  }

  private static String withoutEntities(String html) {
    return html.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&");
  }

  /** The text without a leading byte order mark. */
  private static String withoutMark(String text) {
    return text.startsWith("\uFEFF") ? text.substring(1) : text;
  }

  // ---- errors

  /** The base of what a call can throw once its arguments are right. */
  public abstract static sealed class ScoringException extends RuntimeException
      permits ServiceException, TransportException, ReplyException {
    private static final long serialVersionUID = 1L;
    private final int attempts;

    private ScoringException(String text, int attempts, Throwable cause) {
      super(text, cause);
      this.attempts = attempts;
    }

    /**
     * Tells how often the request was sent.
     *
     * @return the number of requests
     */
    public int attempts() {
      return attempts;
    }
  }

  /** An answer with a status other than 2xx. Redirects are among them: they are not followed. */
  public static final class ServiceException extends ScoringException {
    private static final long serialVersionUID = 1L;
    private final int status;
    private final String serviceMessage;
    private final byte[] body;
    private final String requestId;
    private final String clientRequestId;
    private final String modelStatus;
    private final String modelReason;
    private final boolean runFunctionFailed;

    private ServiceException(
        String text,
        Call call,
        Reply reply,
        String serviceMessage,
        String requestId,
        String modelReason) {
      super(text, call.attempts, null);
      status = reply.status;
      body = reply.body;
      clientRequestId = call.clientRequestId;
      modelStatus = reply.header("ms-azureml-model-error-statuscode");
      runFunctionFailed = reply.header("x-ms-run-function-failed").equalsIgnoreCase("true");
      this.serviceMessage = serviceMessage;
      this.requestId = requestId;
      this.modelReason = modelReason;
    }

    /**
     * Returns the status of the answer.
     *
     * @return the HTTP status
     */
    public int status() {
      return status;
    }

    /**
     * Returns the service's own words (C31).
     *
     * @return the message found in the body, empty if there is none
     */
    public String serviceMessage() {
      return serviceMessage;
    }

    /**
     * Returns the body as it came, at most 64 KiB of it. It may echo the key: do not log it.
     *
     * @return a copy of the bytes
     */
    public byte[] body() {
      return body.clone();
    }

    /**
     * Returns the id under which the service logs the request (C38).
     *
     * @return the reply's {@code x-request-id}, else its {@code x-ms-request-id}
     */
    public Optional<String> requestId() {
      return present(requestId);
    }

    /**
     * Returns the id that the client gave the call; the service's log has it (C39).
     *
     * @return what was sent as {@code x-ms-client-request-id}
     */
    public String clientRequestId() {
      return clientRequestId;
    }

    /**
     * Returns what the model's container answered, if the service's front end tells (C37).
     *
     * @return the reply's {@code ms-azureml-model-error-statuscode}
     */
    public OptionalInt modelStatus() {
      return modelStatus.matches("[0-9]{1,4}")
          ? OptionalInt.of(Integer.parseInt(modelStatus))
          : OptionalInt.empty();
    }

    /**
     * Returns why the model did not answer, if the service's front end tells (C37).
     *
     * @return the reply's {@code ms-azureml-model-error-reason}
     */
    public Optional<String> modelReason() {
      return present(modelReason);
    }

    /**
     * Tells whether the scoring script itself failed (C38).
     *
     * @return true if the reply's {@code x-ms-run-function-failed} is true
     */
    public boolean runFunctionFailed() {
      return runFunctionFailed;
    }

    private static Optional<String> present(String value) {
      return value.isEmpty() ? Optional.empty() : Optional.of(value);
    }
  }

  /**
   * No whole answer came: the network, TLS or a time limit. The model may have run all the same.
   */
  public static final class TransportException extends ScoringException {
    private static final long serialVersionUID = 1L;
    private final boolean timedOut;

    private TransportException(String text, int attempts, boolean timedOut, Throwable cause) {
      super(text, attempts, cause);
      this.timedOut = timedOut;
    }

    /**
     * Tells whether a time limit passed.
     *
     * @return true if it was {@code timeout} or {@code connectTimeout}
     */
    public boolean timedOut() {
      return timedOut;
    }
  }

  /** A 2xx answer that is not one finite number for each row. */
  public static final class ReplyException extends ScoringException {
    private static final long serialVersionUID = 1L;
    private final String reason;
    private final String excerpt;

    private ReplyException(String text, int attempts, String reason, String excerpt) {
      super(text, attempts, null);
      this.reason = reason;
      this.excerpt = excerpt;
    }

    /**
     * Returns what is wrong with the answer.
     *
     * @return the reason, in words
     */
    public String reason() {
      return reason;
    }

    /**
     * Returns the beginning of the answer.
     *
     * @return at most 300 characters, on one line
     */
    public String excerpt() {
      return excerpt;
    }
  }

  private ServiceException serviceError(Call call, Reply reply) {
    String message = foreign(serviceMessage(reply.body), reply.cut);
    String id = reply.header("x-request-id");
    String requestId = foreign(id.isEmpty() ? reply.header("x-ms-request-id") : id, false);
    String modelReason = foreign(reply.header("ms-azureml-model-error-reason"), false);
    String text = errorText(call, requestId, Integer.toString(reply.status), message);
    return new ServiceException(text, call, reply, message, requestId, modelReason);
  }

  private TransportException transportError(Call call, Failure failure) {
    // An exception may quote a reply that echoes the key, and a log shows the text of a cause.
    boolean quotesKey =
        key != null && causes(failure.cause).anyMatch(cause -> cause.toString().contains(key));
    return new TransportException(
        errorText(call, "", foreign(failure.what, false)),
        call.attempts,
        failure.timedOut,
        quotesKey ? null : failure.cause);
  }

  private ReplyException replyError(Call call, String why, byte[] body, boolean cut) {
    int enough = Math.min(body.length, 4 * MAX_TEXT); // a character has at most 4 bytes
    String start = new String(body, 0, enough, StandardCharsets.UTF_8);
    String excerpt = printable(foreign(start, cut || enough < body.length));
    String reason = printable(foreign(why, false));
    return new ReplyException(errorText(call, "", reason, excerpt), call.attempts, reason, excerpt);
  }

  /** The text of an error, on one line, from parts that may be foreign and empty (B63). */
  private String errorText(Call call, String requestId, String... parts) {
    StringBuilder text = new StringBuilder("POST ").append(foreign(shownUri(), false));
    for (String part : parts) {
      if (!part.isEmpty()) {
        text.append(": ").append(printable(part));
      }
    }
    text.append(" (").append(call.attempts).append(call.attempts == 1 ? " attempt" : " attempts");
    if (!requestId.isEmpty()) {
      text.append(", request id ").append(printable(requestId));
    }
    return text.append(')').toString();
  }

  private static Stream<Throwable> causes(Throwable error) {
    return Stream.iterate(error, Objects::nonNull, Throwable::getCause);
  }

  /**
   * Hides the key in a text from outside; in a text that was cut, also the beginning of a key at
   * its end (B21).
   */
  private String foreign(String text, boolean cut) {
    String hidden = text.replaceAll("\\p{Cs}", "\uFFFD"); // half a pair has no UTF-8
    if (key == null) {
      return hidden;
    }
    hidden = hidden.replace(key, "***");
    for (int length = key.length() - 1; cut && length > 0; length--) {
      if (hidden.endsWith(key.substring(0, length))) {
        return hidden.substring(0, hidden.length() - length) + "***";
      }
    }
    return hidden;
  }

  /** One line of at most 300 characters. */
  private static String printable(String text) {
    String line = UNPRINTABLE.matcher(text).replaceAll(" ");
    return line.codePointCount(0, line.length()) <= MAX_TEXT
        ? line
        : line.substring(0, line.offsetByCodePoints(0, MAX_TEXT));
  }

  // ---- helpers

  /** Writes the payload, in which every double keeps its bits. */
  private static byte[] encodeRows(double[][] rows) {
    Objects.requireNonNull(rows, "rows");
    for (int i = 0; i < rows.length; i++) {
      Objects.requireNonNull(rows[i], "row " + i);
      for (int j = 0; j < rows[i].length; j++) {
        if (!Double.isFinite(rows[i][j])) {
          String cell = "row " + i + ", column " + j + " is ";
          String value = Double.isNaN(rows[i][j]) ? "NaN" : "Infinity";
          throw new IllegalArgumentException(cell + value + ": JSON has no such number");
        }
      }
    }
    try {
      return JSON.writeValueAsBytes(Map.of("data", rows));
    } catch (JsonProcessingException e) {
      throw new IllegalStateException("rows of finite numbers can always be written", e);
    }
  }

  private static HttpClient newHttpClient(Duration connectTimeout, boolean loopback) {
    SSLParameters tls = new SSLParameters();
    tls.setProtocols(new String[] {"TLSv1.3", "TLSv1.2"});
    HttpClient.Builder http =
        HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .followRedirects(HttpClient.Redirect.NEVER)
            .connectTimeout(connectTimeout) // closes a socket that does not connect
            .sslParameters(tls);
    if (loopback) {
      http.proxy(HttpClient.Builder.NO_PROXY);
    }
    return http.build();
  }

  /** Accepts the URIs that every client sends exactly as they are given (B01). */
  private static URI parseUri(String text) {
    Matcher unfit = NOT_IN_URI.matcher(text);
    if (unfit.find()) {
      throw new IllegalArgumentException(
          "the scoring URI has a character that no URI can have at position "
              + unfit.start()
              + " (a trailing newline?)");
    }
    URI uri;
    try {
      uri = new URI(text);
    } catch (URISyntaxException e) { // its message shows the URI, with what is secret in it
      throw new IllegalArgumentException(NOT_ABSOLUTE);
    }
    String authority = uri.getRawAuthority();
    check(authority != null && text.matches("(?i)https?:.*"), NOT_ABSOLUTE);
    check(!authority.contains("@"), "the scoring URI must not contain user info");
    check(uri.getHost() != null && uri.getPort() != 0 && uri.getPort() < 65_536, NOT_ABSOLUTE);
    check(uri.getRawFragment() == null, "the scoring URI must not contain a fragment");
    // HttpRequest would leave out the question mark.
    check(!"".equals(uri.getRawQuery()), "the scoring URI must not contain an empty query");
    boolean dots = Stream.of(uri.getRawPath().split("/")).anyMatch(List.of(".", "..")::contains);
    check(!dots, "the scoring URI must not contain dot segments");
    Matcher needless = NEEDLESS_ESCAPE.matcher(text);
    if (needless.find()) {
      throw new IllegalArgumentException(
          "the scoring URI must not contain needless percent escapes (" + needless.group() + ")");
    }
    return uri;
  }

  /** The scoring URI without its query, which may be private. */
  private String shownUri() {
    return uri.getScheme() + "://" + uri.getRawAuthority() + uri.getRawPath();
  }

  /** Tells whether a host is this machine: localhost, 127/8 or ::1. */
  private static boolean isLoopback(String host) {
    if (!host.matches("\\[.*]|[0-9.]+")) {
      return host.equalsIgnoreCase("localhost");
    }
    try { // an address in digits: nothing is looked up
      return InetAddress.getByName(host).isLoopbackAddress();
    } catch (UnknownHostException e) {
      return false;
    }
  }

  /**
   * Refuses what cannot travel in a header (C11); {@link HttpRequest} would show the key, or send
   * another.
   */
  private static void checkKey(String key) {
    check(!key.isEmpty(), "the key is empty");
    Matcher unfit = NOT_IN_HEADER.matcher(key);
    if (unfit.find()) {
      throw new IllegalArgumentException(
          "the key has a character that cannot be sent in a header at position "
              + unfit.start()
              + " (a trailing newline?)");
    }
  }

  private static Duration checkTime(String name, Duration time) {
    check(!time.isNegative() && !time.isZero(), name + " must be positive");
    return time.compareTo(CENTURY) < 0 ? time : CENTURY;
  }

  private static void check(boolean argument, String message) {
    if (!argument) {
      throw new IllegalArgumentException(message);
    }
  }

  private static String seconds(Duration time) {
    return BigDecimal.valueOf(time.toNanos(), 9).stripTrailingZeros().toPlainString() + " s";
  }
}
