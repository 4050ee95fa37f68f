package azureml.scoring;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.json.JsonReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.math.BigDecimal;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ProtocolException;
import java.net.ProxySelector;
import java.net.URI;
import java.net.URISyntaxException;
import java.net.UnknownHostException;
import java.net.http.HttpClient;
import java.net.http.HttpConnectTimeoutException;
import java.net.http.HttpHeaders;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandler;
import java.net.http.HttpResponse.BodySubscriber;
import java.net.http.HttpResponse.BodySubscribers;
import java.net.http.HttpResponse.ResponseInfo;
import java.net.http.HttpTimeoutException;
import java.nio.ByteBuffer;
import java.nio.channels.UnresolvedAddressException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeParseException;
import java.time.format.ResolverStyle;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Flow;
import java.util.concurrent.Future;
import java.util.concurrent.FutureTask;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.TrustManagerFactory;

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
 *   <li>{@link IllegalArgumentException}: a bad URI, credential, option or payload; nothing was
 *       sent
 *   <li>{@link ServiceException}: the service answered with a status other than 2xx
 *   <li>{@link TransportException}: no whole answer came: refused, reset, TLS, a time limit
 *   <li>{@link ReplyException}: the answer is 2xx and not what was asked for
 * </ul>
 *
 * <p>{@link ScoringException} is the base of the last three. A thread that is interrupted gets
 * {@link InterruptedException}, a call on a closed client {@link IllegalStateException}; what a
 * token provider or a retry hook throws reaches the caller unchanged.
 *
 * <p>The network may be tried again, slowness and wrong answers may not. The credential goes into
 * one header and nowhere else. A wrong answer is never a success.
 *
 * <p>A client is immutable, and threads may share it: make one and keep it, it reuses connections.
 * Its methods block, and are made to be called from virtual threads where there are any (Java 21).
 *
 * <p>Ids such as B20 name a rule of the clients, W02 and C01 a fact about the service; the README
 * beside the clients lists them.
 */
public final class ScoringClient implements AutoCloseable {

  // --- Options ---

  /** Options of a {@link ScoringClient}. They are checked by {@link #build}. */
  public static final class Builder {
    private final String scoringUri;
    private String key;
    private TokenProvider tokenProvider;
    private Duration timeout = Duration.ofSeconds(100);
    private Duration attemptTimeout = Duration.ofSeconds(60);
    private Duration connectTimeout; // null: 10 s
    private int maxRetries = 3;
    private Duration baseDelay = Duration.ofMillis(800);
    private Duration maxDelay = Duration.ofSeconds(60);
    private Set<Integer> retryStatuses = Set.of(429, 500, 502, 503);
    private int maxReplyBytes = 64 << 20;
    private String deployment;
    private Path caFile;
    private String proxy;
    private boolean allowInsecureHttp;
    private Consumer<Retry> onRetry = retry -> {};
    private HttpClient httpClient;
    private Time time = new Time() {};

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
     * Sets what gives tokens that change, in place of a key (C14). It is called in a thread of its
     * own, never twice at the same time; one token serves all calls until its {@code refreshBy}, or
     * until the service refuses it.
     *
     * @param tokenProvider what gives a token; default null: none
     * @return this builder
     */
    public Builder tokenProvider(TokenProvider tokenProvider) {
      this.tokenProvider = tokenProvider;
      return this;
    }

    /**
     * Limits a whole call: token, attempts, waits and bodies.
     *
     * @param timeout a positive time; default 100 s
     * @return this builder
     */
    public Builder timeout(Duration timeout) {
      this.timeout = Objects.requireNonNull(timeout, "timeout");
      return this;
    }

    /**
     * Limits one attempt, from the look-up of the host name to the last byte of the reply. An
     * attempt that takes longer is not repeated: the model may still be running (C40).
     *
     * @param attemptTimeout a positive time; default 60 s
     * @return this builder
     */
    public Builder attemptTimeout(Duration attemptTimeout) {
      this.attemptTimeout = Objects.requireNonNull(attemptTimeout, "attemptTimeout");
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
     * Limits how often a call is repeated.
     *
     * @param maxRetries the attempts after the first; default 3, 0: none
     * @return this builder
     */
    public Builder maxRetries(int maxRetries) {
      this.maxRetries = maxRetries;
      return this;
    }

    /**
     * Sets the wait before the first repetition, doubled for each one after it, each times a random
     * 0.5 to 1.5 (C41).
     *
     * @param baseDelay a positive time; default 0.8 s
     * @return this builder
     */
    public Builder baseDelay(Duration baseDelay) {
      this.baseDelay = Objects.requireNonNull(baseDelay, "baseDelay");
      return this;
    }

    /**
     * Limits each wait. A service that asks for a longer one ends the call.
     *
     * @param maxDelay a positive time; default 60 s
     * @return this builder
     */
    public Builder maxDelay(Duration maxDelay) {
      this.maxDelay = Objects.requireNonNull(maxDelay, "maxDelay");
      return this;
    }

    /**
     * Sets the statuses that are repeated. A 500 or 502 of the scoring script itself never is
     * (W06), a 424 always is when the model is not ready or busy (W27).
     *
     * @param retryStatuses statuses from 400 to 599; default 429, 500, 502, 503
     * @return this builder
     */
    public Builder retryStatuses(int... retryStatuses) {
      this.retryStatuses =
          IntStream.of(retryStatuses).boxed().collect(Collectors.toUnmodifiableSet());
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
     * Names the deployment of a managed endpoint that must answer (W30).
     *
     * @param deployment the name, sent as {@code azureml-model-deployment} with scoring calls;
     *     default null: the endpoint chooses
     * @return this builder
     */
    public Builder deployment(String deployment) {
      this.deployment = deployment;
      return this;
    }

    /**
     * Sets the certificates that are trusted, in place of the JVM's.
     *
     * @param caFile a PEM file, which is read by {@link #build}; default null: the JVM's
     * @return this builder
     */
    public Builder caFile(Path caFile) {
      this.caFile = caFile;
      return this;
    }

    /**
     * Sets the proxy. A loopback host is never proxied.
     *
     * @param proxy {@code http://host:port}; default null: the JVM's, {@code -Dhttps.proxyHost}
     * @return this builder
     */
    public Builder proxy(String proxy) {
      this.proxy = proxy;
      return this;
    }

    /**
     * Lets the credential travel over plain http to a host that is not loopback (C13).
     *
     * @param allowInsecureHttp whether the network is trusted; default false: such a URI with a
     *     credential is refused
     * @return this builder
     */
    public Builder allowInsecureHttp(boolean allowInsecureHttp) {
      this.allowInsecureHttp = allowInsecureHttp;
      return this;
    }

    /**
     * Sets what is called before each wait, by the thread that calls. What it throws ends the call
     * and reaches the caller.
     *
     * @param onRetry what is called; default: nothing
     * @return this builder
     */
    public Builder onRetry(Consumer<Retry> onRetry) {
      this.onRetry = Objects.requireNonNull(onRetry, "onRetry");
      return this;
    }

    /**
     * Makes the requests with this HTTP client in place of the scoring client's own, which follows
     * no redirect, keeps no cookie, verifies certificates with TLS 1.2 or later, and finds its
     * proxy where the JVM does. You now own redirects, proxies, TLS and the time to connect, so
     * {@link #connectTimeout}, {@link #caFile} and {@link #proxy} must not be set. It is not closed
     * with the client.
     *
     * @param httpClient the HTTP client
     * @return this builder
     */
    public Builder httpClient(HttpClient httpClient) {
      this.httpClient = Objects.requireNonNull(httpClient, "httpClient");
      return this;
    }

    /** Replaces time and chance, for tests. */
    Builder time(Time time) {
      this.time = time;
      return this;
    }

    /**
     * Makes the client.
     *
     * @return a client with these options
     * @throws IllegalArgumentException if the URI or an option makes no sense: a URI with user
     *     info, a fragment, dot segments or needless escapes; a key that cannot travel in a header,
     *     or stands beside a token provider; a credential over plain http (see {@link
     *     #allowInsecureHttp}); a time or size that is not positive; a status that is no error; a
     *     CA file without a certificate; a proxy that is not {@code http://host:port}
     */
    public ScoringClient build() {
      return new ScoringClient(this);
    }
  }

  /**
   * What a {@link TokenProvider} returns.
   *
   * @param token the token, sent as {@code Authorization: Bearer <token>}
   * @param refreshBy when to ask for the next one; null: only after the service refused this one
   */
  public record AccessToken(String token, Instant refreshBy) {

    /**
     * Makes a token that serves until a time, or until the service refuses it.
     *
     * @param token the token
     * @param refreshBy when to ask for the next one; null: only after the service refused this one
     */
    public AccessToken {
      Objects.requireNonNull(token, "token");
    }

    /**
     * Makes a token that serves until the service refuses it.
     *
     * @param token the token
     */
    public AccessToken(String token) {
      this(token, null);
    }

    /** Names the time and not the token. */
    @Override
    public String toString() {
      return "AccessToken(***, refreshBy=" + refreshBy + ")";
    }
  }

  /** Gives tokens, for example from Microsoft Entra ID (C14). */
  @FunctionalInterface
  public interface TokenProvider {
    /**
     * Returns a token. It may block: callers wait for it no longer than their own time.
     *
     * @return a token, not null
     */
    AccessToken fetch();
  }

  /**
   * What a retry hook is told before a wait. Free of secrets.
   *
   * @param attempt the requests sent so far
   * @param delay the wait that follows
   * @param reason what the last attempt came to
   */
  public record Retry(int attempt, Duration delay, String reason) {}

  /** Time, chance and threads, which tests replace. */
  interface Time {
    default long nanoTime() {
      return System.nanoTime();
    }

    default Instant now() {
      return Instant.now();
    }

    default double random() {
      return ThreadLocalRandom.current().nextDouble();
    }

    default void sleep(Duration wait) throws InterruptedException {
      TimeUnit.NANOSECONDS.sleep(wait.toNanos());
    }

    default void start(Runnable work) {
      Thread thread = new Thread(work, "scoring-client-token");
      thread.setDaemon(true);
      thread.start();
    }
  }

  // --- Client ---

  private final URI uri;
  private final String key; // null: none
  private final TokenCache tokens; // null: no provider
  private final Duration timeout;
  private final Duration attemptTimeout;
  private final Duration connectTimeout; // null: the HTTP client is the caller's
  private final int maxRetries;
  private final Duration baseDelay;
  private final Duration maxDelay;
  private final Set<Integer> retryStatuses;
  private final int maxReplyBytes;
  private final String deployment; // null: none
  private final Consumer<Retry> onRetry;
  private final Time time;
  private final HttpClient http;
  private final AtomicBoolean closed = new AtomicBoolean();
  private final AtomicInteger users = new AtomicInteger(1); // calls under way, and one until close

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
    uri = checkUri(options.scoringUri);
    key = options.key;
    boolean loopback = isLoopback(uri.getHost());
    if (key != null) {
      checkHeader("key", key, NOT_IN_CREDENTIAL, NEWLINE);
      check(options.tokenProvider == null, "key and tokenProvider exclude each other");
    }
    boolean open = key == null && options.tokenProvider == null;
    check(
        open || loopback || options.allowInsecureHttp || uri.getScheme().equalsIgnoreCase("https"),
        "a key over plain http to a host that is not loopback:"
            + " use https, or allowInsecureHttp if the network is trusted");
    time = options.time;
    tokens = options.tokenProvider == null ? null : new TokenCache(options.tokenProvider, time);
    timeout = checkTime("timeout", options.timeout);
    attemptTimeout = checkTime("attemptTimeout", options.attemptTimeout);
    maxRetries = options.maxRetries;
    check(maxRetries >= 0, "maxRetries must not be negative");
    baseDelay = checkTime("baseDelay", options.baseDelay);
    maxDelay = checkTime("maxDelay", options.maxDelay);
    retryStatuses = options.retryStatuses;
    for (int status : retryStatuses) {
      check(
          status >= 400 && status <= 599,
          "retryStatuses: " + status + " is not between 400 and 599");
    }
    maxReplyBytes = options.maxReplyBytes;
    check(maxReplyBytes > 0, "maxReplyBytes must be positive");
    deployment = options.deployment;
    if (deployment != null) {
      checkHeader("deployment", deployment, NOT_IN_CREDENTIAL, "");
    }
    onRetry = options.onRetry;
    if (options.httpClient == null) {
      Duration given = Objects.requireNonNullElse(options.connectTimeout, Duration.ofSeconds(10));
      connectTimeout = checkTime("connectTimeout", given);
      http = newHttpClient(connectTimeout, options.caFile, options.proxy, loopback);
    } else {
      checkUnset("connectTimeout", options.connectTimeout);
      checkUnset("caFile", options.caFile);
      checkUnset("proxy", options.proxy);
      connectTimeout = null;
      http = options.httpClient;
    }
  }

  /**
   * Sends rows as {@code {"data": rows}} by POST and returns their predictions (C01, C04, C09).
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
    Call call = post(encodeRows(rows), "application/json", timeout);
    return perform(call, body -> readPredictions(body, rows.length));
  }

  /**
   * Sends JSON as it is and returns the reply's (C04).
   *
   * @param json the text of one JSON value
   * @return the text of the JSON value that came, whatever it is; a string stays a JSON string
   * @throws IllegalArgumentException if the payload is not JSON; nothing was sent
   * @throws ServiceException if the service answered with a status other than 2xx
   * @throws TransportException if no whole answer came
   * @throws ReplyException if the answer is not JSON
   * @throws InterruptedException if the thread is interrupted; the connection of the call is closed
   * @throws IllegalStateException if the client is closed
   */
  public String scoreJson(String json) throws InterruptedException {
    return scoreJson(json, timeout);
  }

  /**
   * Like {@link #scoreJson(String)}, with a time limit for this call.
   *
   * @param json the text of one JSON value
   * @param timeout a positive time; it can only shorten the client's own
   * @return the text of the JSON value that came
   * @throws InterruptedException if the thread is interrupted; the connection of the call is closed
   */
  public String scoreJson(String json, Duration timeout) throws InterruptedException {
    return perform(post(encodeJson(json), "application/json", timeout), ScoringClient::readJson);
  }

  /**
   * Sends bytes as they are, for example an image, and returns the reply's (C05).
   *
   * @param body the bytes, which must not be changed during the call
   * @param contentType their media type (W39)
   * @return the bytes that came
   * @throws IllegalArgumentException if the content type cannot be sent; nothing was sent
   * @throws ServiceException if the service answered with a status other than 2xx
   * @throws TransportException if no whole answer came
   * @throws ReplyException if the answer is too large, or compressed
   * @throws InterruptedException if the thread is interrupted; the connection of the call is closed
   * @throws IllegalStateException if the client is closed
   */
  public byte[] scoreBytes(byte[] body, String contentType) throws InterruptedException {
    return scoreBytes(body, contentType, timeout);
  }

  /**
   * Like {@link #scoreBytes(byte[], String)}, with a time limit for this call.
   *
   * @param body the bytes
   * @param contentType their media type
   * @param timeout a positive time; it can only shorten the client's own
   * @return the bytes that came
   * @throws InterruptedException if the thread is interrupted; the connection of the call is closed
   */
  public byte[] scoreBytes(byte[] body, String contentType, Duration timeout)
      throws InterruptedException {
    Objects.requireNonNull(body, "body");
    checkHeader("content type", contentType, NOT_IN_CONTENT_TYPE, "");
    return perform(post(body, contentType, timeout), reply -> reply);
  }

  /**
   * Returns the service's OpenAPI document, from {@code swagger.json} beside the scoring URI (C52).
   *
   * @return the JSON text that came
   * @throws ServiceException if the service answered with a status other than 2xx; without such a
   *     document that is 404
   * @throws TransportException if no whole answer came
   * @throws ReplyException if the answer is not JSON
   * @throws InterruptedException if the thread is interrupted; the connection of the call is closed
   * @throws IllegalStateException if the client is closed
   */
  public String swagger() throws InterruptedException {
    return swagger(timeout);
  }

  /**
   * Like {@link #swagger()}, with a time limit for this call.
   *
   * @param timeout a positive time; it can only shorten the client's own
   * @return the JSON text that came
   * @throws InterruptedException if the thread is interrupted; the connection of the call is closed
   */
  public String swagger(Duration timeout) throws InterruptedException {
    return perform(get("swagger.json", maxRetries, timeout), ScoringClient::readJson);
  }

  /**
   * Tells whether the service says that it is up, at the root beside the scoring URI (C51). One
   * attempt.
   *
   * @return whether the reply is {@code Healthy}; false for any other
   * @throws TransportException if no whole answer came
   * @throws InterruptedException if the thread is interrupted; the connection of the call is closed
   * @throws IllegalStateException if the client is closed
   */
  public boolean isHealthy() throws InterruptedException {
    return isHealthy(timeout);
  }

  /**
   * Like {@link #isHealthy()}, with a time limit for this call.
   *
   * @param timeout a positive time; it can only shorten the client's own
   * @return whether the reply is {@code Healthy}
   * @throws InterruptedException if the thread is interrupted; the connection of the call is closed
   */
  public boolean isHealthy(Duration timeout) throws InterruptedException {
    try {
      byte[] reply = perform(get("", 0, timeout), body -> body);
      return HEALTHY.matcher(new String(reply, StandardCharsets.UTF_8)).matches();
    } catch (ServiceException | ReplyException other) {
      return false;
    }
  }

  /**
   * Closes the client; calls after that get {@link IllegalStateException}, calls under way go on to
   * their end. From Java 21 on the last of them closes the connections; before, they go when the
   * client is collected.
   */
  @Override
  public void close() {
    if (!closed.getAndSet(true)) {
      leave();
    }
  }

  /** Names the scoring URI, without its query. */
  @Override
  public String toString() {
    return "ScoringClient(" + withoutQuery(uri) + ")";
  }

  // --- Sending ---

  private Call post(byte[] payload, String contentType, Duration timeout) {
    return new Call("POST", uri, payload, contentType, maxRetries, timeout);
  }

  /** A GET of what stands beside the scoring URI. */
  private Call get(String name, int maxRetries, Duration timeout) {
    String path = uri.getRawPath(); // URI.resolve would merge slashes
    String folder = path.isEmpty() ? "/" : path.substring(0, path.lastIndexOf('/') + 1);
    URI sibling = URI.create(origin(uri) + folder + name);
    return new Call("GET", sibling, new byte[0], null, maxRetries, timeout);
  }

  /** Makes a call; the last one to end after {@link #close} closes the connections. */
  private <T> T perform(Call call, Reader<T> reader) throws InterruptedException {
    users.incrementAndGet();
    try {
      if (closed.get()) {
        throw new IllegalStateException("the client is closed");
      }
      return repeat(call, reader);
    } finally {
      leave();
    }
  }

  private void leave() {
    if (users.decrementAndGet() == 0 && connectTimeout != null) {
      try {
        HttpClient.class.getMethod("shutdownNow").invoke(http); // nothing is under way
      } catch (ReflectiveOperationException e) {
        // before Java 21 an HttpClient cannot be closed
      }
    }
  }

  /** Makes attempts until one succeeds, or must not be repeated. */
  private <T> T repeat(Call call, Reader<T> reader) throws InterruptedException {
    String refused = null; // the token that the service answered with a 401
    String credential = credential(call, refused);
    int retries = 0;
    while (true) {
      try {
        return attempt(call, credential, reader);
      } catch (ScoringException failure) {
        if (tokens != null
            && refused == null
            && failure instanceof ServiceException service
            && service.status == 401) {
          refused = credential;
          credential = credential(call, refused);
          if (!credential.equals(refused)) {
            continue; // at once, and not counted as a retry (B25)
          }
        }
        Duration wait = nextWait(call, retries, failure).orElseThrow(() -> failure);
        onRetry.accept(new Retry(call.attempts, wait, failure.reason));
        time.sleep(shorter(wait, call.left())); // the hook may have taken long
        retries++;
        credential = credential(call, refused);
      }
    }
  }

  /**
   * The wait before the next attempt, if there may be one: not when the service asks for a longer
   * wait than {@code maxDelay}, nor when the wait would reach the end of the call (B49).
   */
  private Optional<Duration> nextWait(Call call, int retries, ScoringException failure) {
    Duration hint =
        failure instanceof ServiceException service && service.retryAfter != null
            ? service.retryAfter
            : Duration.ZERO;
    Duration backOff = backOff(retries, baseDelay, maxDelay, time.random());
    Duration wait = hint.compareTo(backOff) > 0 ? hint : backOff;
    boolean again =
        retries < call.maxRetries
            && shouldRepeat(failure, retryStatuses)
            && hint.compareTo(maxDelay) <= 0
            && wait.compareTo(call.left()) < 0;
    return again ? Optional.of(wait) : Optional.empty();
  }

  private String credential(Call call, String refused) throws InterruptedException {
    return tokens == null ? key : tokens.get(call, refused);
  }

  /** Makes one attempt, within what is left of the call's time. */
  private <T> T attempt(Call call, String credential, Reader<T> reader)
      throws InterruptedException {
    Duration left = call.left();
    boolean last = left.compareTo(attemptTimeout) <= 0;
    Duration limit = last ? call.limit : attemptTimeout;
    if (left.isNegative() || left.isZero()) {
      throw call.transportError(new TimeoutException(noReply(limit)), false);
    }
    AtomicBoolean connected = new AtomicBoolean();
    Payload payload = new Payload(BodyPublishers.ofByteArray(call.payload), connected);
    HttpRequest.Builder request =
        HttpRequest.newBuilder(call.uri)
            .version(HttpClient.Version.HTTP_1_1)
            .header("x-ms-client-request-id", call.id)
            .method(call.method, payload);
    if (call.contentType != null) {
      request.header("Content-Type", call.contentType);
      if (deployment != null) {
        request.header("azureml-model-deployment", deployment);
      }
    }
    if (credential != null) {
      call.credentials.putIfAbsent(credential, null);
      request.header("Authorization", "Bearer " + credential);
    }
    call.attempts++;
    Reply reply = new Reply(maxReplyBytes);
    CompletableFuture<?> response = http.sendAsync(request.build(), reply);
    try {
      Future<?> end = CompletableFuture.anyOf(response, reply.full);
      Throwable failure = await(end, connected, last ? left : attemptTimeout, limit);
      if (failure == null && !reply.isBegun()) { // a proxy's 407, which comes past the handler
        failure = new IOException(TUNNEL_FAILED + 407); // as HttpClient says of other statuses
      }
      if (failure != null && !reply.isError()) { // an error's status is enough (B50)
        throw call.transportError(failure, reply.isBegun());
      }
      return read(call, reply, reader);
    } finally {
      response.cancel(true); // closes the connection of a call that is given up
    }
  }

  /** Makes a value of a success that came whole and as it was asked for, or says what came. */
  private <T> T read(Call call, Reply reply, Reader<T> reader) {
    byte[] body = reply.body();
    if (reply.isError()) {
      throw call.serviceError(reply, body);
    }
    String encoding = String.join(", ", reply.head.headers().allValues("Content-Encoding"));
    if (!encoding.isEmpty() && !encoding.equalsIgnoreCase("identity")) {
      String reason = "the reply has Content-Encoding: " + encoding + ", which was not asked for";
      throw call.replyError(reason, new byte[0]);
    }
    if (reply.full.isDone()) {
      throw call.replyError("the reply is larger than " + maxReplyBytes + " bytes", body);
    }
    try {
      return reader.read(body);
    } catch (WrongReply wrong) {
      throw call.replyError(wrong.getMessage(), body);
    }
  }

  /**
   * Waits for a reply and returns why there is none, null if there is. {@link HttpClient}'s own
   * limits do not do: that of connecting leaves out name look-up and proxies, that of a request
   * ends at the headers, and a body may drip for ever.
   */
  private Throwable await(
      Future<?> response, AtomicBoolean connected, Duration left, Duration limit)
      throws InterruptedException {
    long end = time.nanoTime() + left.toNanos();
    boolean own = connectTimeout != null && connectTimeout.compareTo(left) < 0;
    try {
      try {
        response.get((own ? connectTimeout : left).toNanos(), TimeUnit.NANOSECONDS);
      } catch (TimeoutException e) {
        if (!connected.get()) {
          String words = "no connection within " + seconds(own ? connectTimeout : limit);
          return new HttpConnectTimeoutException(words);
        }
        response.get(end - time.nanoTime(), TimeUnit.NANOSECONDS);
      }
      return null;
    } catch (TimeoutException e) {
      return new TimeoutException(noReply(limit));
    } catch (ExecutionException e) {
      return e.getCause();
    }
  }

  private static String noReply(Duration limit) {
    return "no complete reply within " + seconds(limit);
  }

  /** A body that notes when it is asked for: by then there is a connection, TLS included. */
  private record Payload(BodyPublisher bytes, AtomicBoolean connected) implements BodyPublisher {
    @Override
    public long contentLength() {
      connected.set(true);
      return bytes.contentLength();
    }

    @Override
    public void subscribe(Flow.Subscriber<? super ByteBuffer> subscriber) {
      bytes.subscribe(subscriber);
    }
  }

  // --- What is repeated ---

  /** Tells whether an attempt is repeated, were there time and retries left (B30, B40-B47). */
  static boolean shouldRepeat(ScoringException failure, Set<Integer> retryStatuses) {
    if (failure instanceof ServiceException service) {
      boolean busy =
          service.modelReason.equals("model_not_ready")
              || service.modelReason.equals("too_few_model_instance")
              || service.modelStatus.equals("429");
      if (service.status == 424 && busy) {
        return true;
      }
      boolean ofScript =
          (service.status == 500 || service.status == 502) && service.runFunctionFailed;
      return retryStatuses.contains(service.status) && !ofScript;
    }
    return failure instanceof TransportException transport && transport.network;
  }

  /** The wait before a retry, the first being number 0, for a random number from 0 to 1 (B48). */
  static Duration backOff(int retry, Duration baseDelay, Duration maxDelay, double random) {
    double longest = maxDelay.toNanos();
    double delay = Math.min(longest, baseDelay.toNanos() * Math.pow(2, retry));
    return Duration.ofNanos((long) Math.min(longest, delay * (0.5 + random)));
  }

  /** How long the service asks to wait, if it does (B49, C41). */
  static Optional<Duration> retryHint(HttpHeaders headers, Instant now) {
    for (String name : List.of("retry-after-ms", "x-ms-retry-after-ms", "retry-after")) {
      String value = headers.firstValue(name).orElse("");
      Duration unit = name.endsWith("-ms") ? Duration.ofMillis(1) : Duration.ofSeconds(1);
      if (value.matches("0*[0-9]{1,9}")) {
        return Optional.of(unit.multipliedBy(Long.parseLong(value)));
      }
      if (value.matches("[0-9]+")) {
        return Optional.of(LONGEST_HINT);
      }
    }
    String date = headers.firstValue("retry-after").orElse("");
    try { // the name of the day is not compared
      date = date.replaceFirst("^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), ", "day, ");
      Duration wait = Duration.between(now, HTTP_DATE.parse(date, Instant::from));
      return Optional.of(wait.isNegative() ? Duration.ZERO : shorter(wait, LONGEST_HINT));
    } catch (DateTimeParseException none) {
      return Optional.empty();
    }
  }

  private static final Duration LONGEST_HINT = Duration.ofSeconds(999_999_999);
  private static final DateTimeFormatter HTTP_DATE =
      DateTimeFormatter.ofPattern("'day, 'dd MMM uuuu HH:mm:ss 'GMT'", Locale.US)
          .withResolverStyle(ResolverStyle.STRICT)
          .withZone(ZoneOffset.UTC);

  // --- The credential ---

  /** The token of a provider: fetched once for all the calls that need it (C14). */
  private static final class TokenCache {
    private final TokenProvider provider;
    private final Time time;
    private AccessToken token; // null: none yet, or the service refused it
    private FutureTask<AccessToken> fetch; // null: none under way

    private TokenCache(TokenProvider provider, Time time) {
      this.provider = provider;
      this.time = time;
    }

    /** Returns a token that is fresh and was not refused, unless there is no other. */
    private String get(Call call, String refused) throws InterruptedException {
      FutureTask<AccessToken> needed;
      synchronized (this) {
        drop(refused);
        if (token != null && (token.refreshBy == null || time.now().isBefore(token.refreshBy))) {
          return token.token;
        }
        if (fetch == null) {
          FutureTask<AccessToken> task = new FutureTask<>(this::fetch);
          time.start(task);
          fetch = task; // only now: a thread that cannot start must not keep others waiting
        }
        needed = fetch;
      }
      try {
        String fetched = needed.get(call.left().toNanos(), TimeUnit.NANOSECONDS).token;
        drop(refused); // the same again
        return fetched;
      } catch (TimeoutException e) {
        throw call.transportError(
            new TimeoutException("no token within " + seconds(call.limit)), false);
      } catch (ExecutionException e) {
        synchronized (this) {
          if (token != null && !token.token.equals(refused)) {
            return token.token; // which is merely due; the next call asks again
          }
        }
        throw ScoringClient.<RuntimeException>unchanged(e.getCause());
      }
    }

    private synchronized void drop(String refused) {
      if (token != null && token.token.equals(refused)) {
        token = null;
      }
    }

    private AccessToken fetch() {
      AccessToken good = null;
      try {
        AccessToken fetched = provider.fetch();
        check(fetched != null, "the token provider must return an AccessToken, not null");
        checkHeader("token", fetched.token, NOT_IN_CREDENTIAL, NEWLINE);
        good = fetched;
      } finally {
        synchronized (this) {
          fetch = null;
          token = good == null ? token : good;
        }
      }
      return good;
    }
  }

  /** Throws an exception as it is, also one that nobody declared. */
  @SuppressWarnings({"unchecked", "TypeParameterUnusedInFormals"})
  private static <E extends Throwable> E unchanged(Throwable thrown) throws E {
    throw (E) thrown;
  }

  // --- What one attempt came to ---

  /** One call of a method: what its attempts have in common, and how it is told of. */
  private final class Call {
    private final String method;
    private final URI uri;
    private final byte[] payload;
    private final String contentType; // null: none
    private final int maxRetries;
    private final Duration limit;
    private final String id = UUID.randomUUID().toString(); // B15
    private final long start = time.nanoTime();
    private int attempts;

    // Those that were used, the longest first, each as a text may spell it; null: not needed yet.
    private final Map<String, Pattern> credentials =
        new TreeMap<>(Comparator.comparing(String::length).reversed().thenComparing(text -> text));

    private Call(
        String method,
        URI uri,
        byte[] payload,
        String contentType,
        int maxRetries,
        Duration timeout) {
      this.method = method;
      this.uri = uri;
      this.payload = payload;
      this.contentType = contentType;
      this.maxRetries = maxRetries;
      limit = shorter(checkTime("timeout", timeout), ScoringClient.this.timeout);
    }

    private Duration left() {
      return limit.minusNanos(time.nanoTime() - start);
    }

    private ServiceException serviceError(Reply reply, byte[] body) {
      String id = reply.header("x-request-id");
      return new ServiceException(
          this,
          reply,
          body,
          hide(serviceMessage(body)),
          hide(id.isEmpty() ? reply.header("x-ms-request-id") : id),
          retryHint(reply.head.headers(), time.now()).orElse(null));
    }

    private TransportException transportError(Throwable cause, boolean begun) {
      Loss loss = explain(cause, begun);
      // An exception may quote a reply that echoes the credential, and a log shows its text.
      boolean quotes =
          causes(cause).map(Throwable::toString).anyMatch(text -> !hide(text).equals(text));
      return new TransportException(this, printable(hide(loss.words)), loss, quotes ? null : cause);
    }

    private ReplyException replyError(String reason, byte[] body) {
      int enough = Math.min(body.length, 4 * (MAX_TEXT + 1)); // a character has at most 4 bytes
      String excerpt = new String(body, 0, enough, StandardCharsets.UTF_8);
      return new ReplyException(this, printable(hide(reason)), printable(hide(excerpt)));
    }

    /** The text of an error, on one line (B63). */
    private String describe(String what, String requestId) {
      String attempts = this.attempts + (this.attempts == 1 ? " attempt" : " attempts");
      String id = requestId.isEmpty() ? "" : ", request id " + printable(requestId);
      return method + " " + hide(withoutQuery(uri)) + ": " + what + " (" + attempts + id + ")";
    }

    /** Hides credentials in a text from outside, and the beginning of one where it is cut (B21). */
    private String hide(String text) {
      credentials.replaceAll(
          (credential, spelled) -> spelled == null ? spell(credential) : spelled);
      String hidden = text;
      for (Map.Entry<String, Pattern> entry : credentials.entrySet()) {
        String credential = entry.getKey();
        hidden = entry.getValue().matcher(hidden).replaceAll("***");
        for (int length = credential.length() - 1; length > 3; length--) {
          if (hidden.endsWith(credential.substring(0, length))) {
            hidden = hidden.substring(0, hidden.length() - length) + "***";
          }
        }
      }
      return hidden;
    }
  }

  /** A reply as it comes. What came is kept, also when the rest never does. */
  private static final class Reply implements BodyHandler<Void> {
    private final ByteArrayOutputStream body = new ByteArrayOutputStream();
    private final CompletableFuture<Void> full = new CompletableFuture<>();
    private final int maxReplyBytes;
    private volatile ResponseInfo head; // null: none came

    private Reply(int maxReplyBytes) {
      this.maxReplyBytes = maxReplyBytes;
    }

    @Override
    public BodySubscriber<Void> apply(ResponseInfo head) {
      this.head = head;
      return BodySubscribers.ofByteArrayConsumer(part -> part.ifPresent(this::add));
    }

    private synchronized void add(byte[] part) {
      int room = (isError() ? MAX_ERROR_BODY : maxReplyBytes) - body.size();
      body.write(part, 0, Math.min(room, part.length));
      if (part.length > room) {
        full.complete(null);
      }
    }

    private boolean isBegun() {
      return head != null;
    }

    private boolean isError() {
      return isBegun() && status() / 100 != 2;
    }

    private int status() {
      return head.statusCode();
    }

    private String header(String name) {
      return head.headers().firstValue(name).orElse("");
    }

    private synchronized byte[] body() {
      return body.toByteArray();
    }
  }

  /** Why there is no whole reply. The network may be tried again, all else lasts. */
  record Loss(String words, boolean network, boolean timedOut) {}

  /** Explains why there is no reply, or not all of one that had begun. Often only words tell. */
  static Loss explain(Throwable cause, boolean begun) {
    String words = String.valueOf(cause.getMessage());
    if (cause instanceof TimeoutException || cause instanceof HttpTimeoutException) {
      return new Loss(words, cause instanceof HttpConnectTimeoutException, true);
    } else if (words.startsWith("Header size too big")) {
      return new Loss("the headers of the reply are too large", false, false);
    } else if (words.startsWith(TUNNEL_FAILED)) {
      String status = words.substring(TUNNEL_FAILED.length());
      return new Loss("the proxy refused the tunnel: " + status, false, false);
    }
    Optional<Throwable> tls = causes(cause).filter(SSLException.class::isInstance).findFirst();
    if (tls.isPresent() && !begun) { // at times it is the cause of a lost connection
      String refusal = String.valueOf(tls.get().getMessage());
      return refusal.startsWith("Remote host ")
          ? new Loss("the connection was closed inside TLS", true, false)
          : new Loss("TLS failed: " + refusal, false, false);
    }
    Throwable root = causes(cause).reduce((outer, inner) -> inner).orElseThrow();
    String what;
    if (root instanceof UnresolvedAddressException) {
      what = "the host name cannot be resolved";
    } else if (cause instanceof ConnectException && cause.getMessage() == null) {
      what = "connection refused";
    } else if (String.valueOf(root.getMessage()).matches("Connection reset.*|Broken pipe")) {
      what = "the connection was reset";
    } else if (root instanceof EOFException) {
      what = begun ? "the reply was cut off" : "the connection was closed before the reply";
    } else if (begun
        || cause instanceof ProtocolException
        || cause instanceof NumberFormatException) { // of a length
      what = "the reply is not valid HTTP";
    } else {
      what = words;
    }
    return new Loss(what, true, false);
  }

  private static Stream<Throwable> causes(Throwable error) {
    return Stream.iterate(error, Objects::nonNull, Throwable::getCause);
  }

  private static final int MAX_ERROR_BODY = 64 << 10; // bytes that are kept (B54)
  private static final String TUNNEL_FAILED = "Tunnel failed, got: ";

  // --- Errors ---

  /** The base of what a call can throw once its arguments are right. */
  public abstract static sealed class ScoringException extends RuntimeException
      permits ServiceException, TransportException, ReplyException {
    private static final long serialVersionUID = 1L;
    private final int attempts;
    private final String reason;

    private ScoringException(
        Call call, String reason, String excerpt, String requestId, Throwable cause) {
      super(call.describe(joined(reason, excerpt), requestId), cause);
      this.attempts = call.attempts;
      this.reason = reason;
    }

    /**
     * Tells how often the request was sent.
     *
     * @return the number of requests
     */
    public int attempts() {
      return attempts;
    }

    /**
     * Returns what the last attempt came to, which the text of the exception says too.
     *
     * @return the reason, in words
     */
    public String reason() {
      return reason;
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
    private final Duration retryAfter; // null: none

    private ServiceException(
        Call call,
        Reply reply,
        byte[] body,
        String message,
        String requestId,
        Duration retryAfter) {
      super(call, joined(String.valueOf(reply.status()), message), "", requestId, null);
      status = reply.status();
      serviceMessage = message;
      this.body = body;
      this.requestId = requestId;
      clientRequestId = call.id;
      modelStatus = reply.header("ms-azureml-model-error-statuscode");
      modelReason = call.hide(reply.header("ms-azureml-model-error-reason"));
      runFunctionFailed = reply.header("x-ms-run-function-failed").equalsIgnoreCase("true");
      this.retryAfter = retryAfter;
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
     * Returns how long the service asks to wait before the next call (C41).
     *
     * @return the reply's {@code retry-after-ms}, {@code x-ms-retry-after-ms} or {@code
     *     Retry-After}
     */
    public Optional<Duration> retryAfter() {
      return Optional.ofNullable(retryAfter);
    }

    /**
     * Returns what the model's container answered, if the service's front end tells (C37).
     *
     * @return the reply's {@code ms-azureml-model-error-statuscode}
     */
    public OptionalInt modelStatus() {
      return modelStatus.matches("[0-9]{3}")
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
    private final boolean network; // another attempt may find it better

    private TransportException(Call call, String reason, Loss loss, Throwable cause) {
      super(call, reason, "", "", cause);
      timedOut = loss.timedOut;
      network = loss.network;
    }

    /**
     * Tells whether a time limit passed.
     *
     * @return true if it was {@code timeout}, {@code attemptTimeout} or {@code connectTimeout}
     */
    public boolean timedOut() {
      return timedOut;
    }
  }

  /** A 2xx answer that is not what was asked for. */
  public static final class ReplyException extends ScoringException {
    private static final long serialVersionUID = 1L;
    private final String excerpt;

    private ReplyException(Call call, String reason, String excerpt) {
      super(call, reason, excerpt, "", null);
      this.excerpt = excerpt;
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

  private static String joined(String what, String text) {
    String line = printable(text);
    return line.isEmpty() ? what : what + ": " + line;
  }

  /** A pattern of a credential, also as JSON may escape it. */
  private static Pattern spell(String credential) {
    return Pattern.compile(
        credential
            .chars()
            .mapToObj(c -> String.format(Locale.ROOT, "(?:\\\\?\\x%02x|\\\\u00(?i:%1$02x))", c))
            .collect(Collectors.joining()));
  }

  /** One line of at most 300 characters, of a text from outside. */
  private static String printable(String text) {
    String line = UNPRINTABLE.matcher(text).replaceAll(" ").strip();
    return line.codePointCount(0, line.length()) <= MAX_TEXT
        ? line
        : line.substring(0, line.offsetByCodePoints(0, MAX_TEXT - 1)) + "\u2026";
  }

  private static final int MAX_TEXT = 300;

  // Control characters, ends of lines, what turns the direction of writing.
  private static final Pattern UNPRINTABLE =
      Pattern.compile("[\\p{Cc}\\p{Zl}\\p{Zp}\\u061C\\u200E\\u200F\\u202A-\\u202E\\u2066-\\u2069]");

  // --- Arguments ---

  /** Accepts the URIs that every client sends exactly as they are given (B01). */
  private static URI checkUri(String text) {
    checkCharacters("scoring URI", text, NOT_IN_URI, "no URI can have", NEWLINE);
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

  private static String origin(URI uri) {
    return uri.getScheme() + "://" + uri.getRawAuthority();
  }

  /** A URI without its query, which may be private. */
  private static String withoutQuery(URI uri) {
    return origin(uri) + uri.getRawPath();
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

  /** Refuses what cannot travel in a header (C11); {@link HttpRequest} would show it. */
  private static void checkHeader(String name, String value, Pattern unfit, String advice) {
    check(!value.isEmpty(), "the " + name + " is empty");
    checkCharacters(name, value, unfit, "cannot be sent in a header", advice);
  }

  private static void checkCharacters(
      String name, String value, Pattern unfit, String why, String advice) {
    Matcher found = unfit.matcher(value);
    if (found.find()) {
      String what = " has a character that " + why + " at position ";
      throw new IllegalArgumentException("the " + name + what + found.start() + advice);
    }
  }

  private static Duration checkTime(String name, Duration time) {
    Objects.requireNonNull(time, name);
    check(!time.isNegative() && !time.isZero(), name + " must be positive");
    return shorter(time, CENTURY);
  }

  private static void checkUnset(String name, Object option) {
    check(option == null, name + " has no effect with httpClient: set it there");
  }

  private static void check(boolean argument, String message) {
    if (!argument) {
      throw new IllegalArgumentException(message);
    }
  }

  private static Duration shorter(Duration one, Duration other) {
    return one.compareTo(other) < 0 ? one : other;
  }

  private static String seconds(Duration time) {
    return BigDecimal.valueOf(time.toNanos(), 9).stripTrailingZeros().toPlainString() + " s";
  }

  private static final Duration CENTURY = Duration.ofDays(36_500); // in nanoseconds still a long

  private static final String NOT_ABSOLUTE =
      "the scoring URI must be an absolute http or https URI";

  private static final String NEWLINE = " (a trailing newline?)";

  private static final Pattern NOT_IN_CREDENTIAL = Pattern.compile("[^!-~]");
  private static final Pattern NOT_IN_CONTENT_TYPE = Pattern.compile("^ |[^ -~]| $");
  private static final Pattern NOT_IN_URI = Pattern.compile("[^!-~]|[\"<>\\\\^`{|}]");

  // Escapes of letters, digits and -._~
  private static final Pattern NEEDLESS_ESCAPE =
      Pattern.compile("%(?:2[DEde]|3[0-9]|4[1-9A-Fa-f]|5[0-9AFaf]|6[1-9A-Fa-f]|7[0-9AEae])");

  // --- Bodies ---

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

  private static byte[] encodeJson(String json) {
    Objects.requireNonNull(json, "json");
    // Half a surrogate pair cannot be sent: String.getBytes makes a question mark of it.
    boolean fit = isJson(json, false) && StandardCharsets.UTF_8.newEncoder().canEncode(json);
    check(fit, "the payload is not JSON");
    return json.getBytes(StandardCharsets.UTF_8);
  }

  /** Makes a value of the body of a success. */
  private interface Reader<T> {
    T read(byte[] body) throws WrongReply;
  }

  /** Why a success is none that was asked for. */
  private static final class WrongReply extends Exception {
    private static final long serialVersionUID = 1L;

    private WrongReply(String reason) {
      super(reason);
    }
  }

  /** Reads an array with one finite number for each row (B51). */
  private static double[] readPredictions(byte[] body, int rows) throws WrongReply {
    String text = readJson(body);
    double[] predictions = new double[rows];
    int count = 0;
    try (JsonParser parser = LONG.createParser(text)) {
      JsonToken token = parser.nextToken();
      if (token != JsonToken.START_ARRAY) {
        throw notAnArray(token, JSON.readTree(text));
      }
      while ((token = parser.nextToken()) != JsonToken.END_ARRAY) {
        double value = token.isNumeric() ? Double.parseDouble(parser.getText()) : Double.NaN;
        if (!Double.isFinite(value)) {
          String what = token.isNumeric() ? "not a finite number" : kind(token) + ", not a number";
          throw new WrongReply("element " + count + " of the reply is " + what);
        }
        if (count < rows) {
          predictions[count] = value;
        }
        count++;
      }
    } catch (IOException e) { // JSON it is, but more than Jackson makes a tree of
      throw new WrongReply("the reply is not an array");
    }
    if (count != rows) {
      throw new WrongReply("the reply has " + count + " predictions for " + rows + " rows");
    }
    return predictions;
  }

  /** Says what came in place of an array, and in an object the text of its error (W09). */
  private static WrongReply notAnArray(JsonToken first, JsonNode reply) {
    String reason = "the reply is " + kind(first) + ", not an array";
    if (reply.isTextual()) {
      return new WrongReply(reason + "; the scoring script probably calls json.dumps itself");
    }
    JsonNode error = reply.path("error");
    return new WrongReply(joined(reason, firstText(error.path("message"), error)));
  }

  private static String kind(JsonToken token) {
    return switch (token) {
      case START_OBJECT -> "a JSON object";
      case START_ARRAY -> "a JSON array";
      case VALUE_STRING -> "a JSON string";
      case VALUE_TRUE, VALUE_FALSE -> "a JSON boolean";
      case VALUE_NULL -> "a JSON null";
      default -> "a JSON number";
    };
  }

  /** Returns the text of one JSON value, in UTF-8 whatever the reply's headers say (B52, C32). */
  private static String readJson(byte[] body) throws WrongReply {
    String text = new String(body, StandardCharsets.UTF_8);
    if (text.indexOf('\uFFFD') >= 0 // sent so, or put in place of what is no UTF-8
        && !Arrays.equals(text.getBytes(StandardCharsets.UTF_8), body)) {
      throw new WrongReply("the reply is not valid UTF-8");
    }
    text = withoutMark(text);
    if (isJson(text, false)) {
      return text;
    } else if (text.isBlank()) {
      throw new WrongReply("the reply is empty");
    } else if (isJson(text, true)) { // what Python's json.dumps makes of a NaN (W09)
      throw new WrongReply("the reply contains NaN or Infinity, which is not JSON");
    }
    throw new WrongReply("the reply is not JSON");
  }

  /** Tells whether a text is one JSON value, without making anything of it. */
  private static boolean isJson(String text, boolean allowNaN) {
    try (JsonParser parser = LONG.createParser(text)) {
      parser.configure(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS.mappedFeature(), allowNaN);
      boolean begun = parser.nextToken() != null;
      parser.skipChildren();
      return begun && parser.nextToken() == null;
    } catch (IOException notJson) {
      return false;
    }
  }

  /** The text without a leading byte order mark. */
  private static String withoutMark(String text) {
    return text.startsWith("\uFEFF") ? text.substring(1) : text;
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
        .map(node -> HALVES.matcher(node.textValue()).replaceAll("\uFFFD"))
        .filter(text -> !text.isBlank())
        .findFirst()
        .orElse("");
  }

  private static String withoutEntities(String html) {
    return html.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&");
  }

  // Reads what is as long as the reply may be; a tree takes time for a number of a million digits.
  private static final JsonFactory LONG =
      JsonFactory.builder()
          .streamReadConstraints(
              StreamReadConstraints.builder()
                  .maxNumberLength(Integer.MAX_VALUE)
                  .maxNameLength(Integer.MAX_VALUE)
                  .build())
          .build();

  private static final JsonMapper JSON =
      JsonMapper.builder().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS).build();

  // Halves of surrogate pairs, which JSON can spell and UTF-8 cannot.
  private static final Pattern HALVES = Pattern.compile("\\p{Cs}");

  private static final Pattern HEALTHY =
      Pattern.compile("\uFEFF?[ \\t\\r\\n]*(\"?)Healthy\\1[ \\t\\r\\n]*");
  private static final Pattern HTML_PAGE = Pattern.compile("(?i)<(!doctype|html|head|body)\\b");
  private static final Pattern HTML_TITLE = Pattern.compile("(?is)<title[^>]*>([^<]*)");

  // --- Connections ---

  private static HttpClient newHttpClient(
      Duration connectTimeout, Path caFile, String proxy, boolean loopback) {
    SSLParameters tls = new SSLParameters();
    tls.setProtocols(new String[] {"TLSv1.3", "TLSv1.2"});
    HttpClient.Builder http =
        HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .followRedirects(HttpClient.Redirect.NEVER)
            .connectTimeout(connectTimeout.plusSeconds(1)) // closes a socket that nobody waits for
            .sslParameters(tls);
    if (caFile != null) {
      http.sslContext(trusting(caFile));
    }
    if (proxy != null) {
      Matcher parts = PROXY.matcher(proxy);
      int port = parts.matches() ? Integer.parseInt(parts.group(2)) : 0;
      check(port > 0 && port < 65_536, "the proxy must be http://host:port");
      http.proxy(ProxySelector.of(InetSocketAddress.createUnresolved(parts.group(1), port)));
    }
    if (loopback) {
      http.proxy(HttpClient.Builder.NO_PROXY);
    }
    return http.build();
  }

  /** Trusts the certificates of a file, and no others. */
  private static SSLContext trusting(Path caFile) {
    try {
      KeyStore roots = KeyStore.getInstance(KeyStore.getDefaultType());
      roots.load(null, null);
      String[] parts = Files.readString(caFile, StandardCharsets.ISO_8859_1).split(BEGIN, -1);
      for (int i = 1; i < parts.length; i++) { // Java 25 would skip a certificate that is cut off
        byte[] pem = (BEGIN + parts[i]).getBytes(StandardCharsets.ISO_8859_1);
        ByteArrayInputStream in = new ByteArrayInputStream(pem);
        roots.setCertificateEntry(
            "ca" + i, CertificateFactory.getInstance("X.509").generateCertificate(in));
      }
      check(roots.size() > 0, "the CA file holds no certificate");
      TrustManagerFactory trust =
          TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
      trust.init(roots);
      SSLContext tls = SSLContext.getInstance("TLS");
      tls.init(null, trust.getTrustManagers(), null);
      return tls;
    } catch (IOException | GeneralSecurityException e) {
      String reason = e instanceof NoSuchFileException ? "no such file" : e.getMessage();
      throw new IllegalArgumentException("the CA file cannot be read: " + reason, e);
    }
  }

  private static final String BEGIN = "-----BEGIN CERTIFICATE-----";
  private static final Pattern PROXY =
      Pattern.compile("(?i)http://([a-z0-9._-]+|\\[[0-9a-f:.]+]):([0-9]{1,5})");
}
