"""Submits a job to Ray from a pod, prints the job's log, and reports the job's result by its exit code.

It uses only Python's standard library, so that it runs in any image with Python 3. It can be killed and started again at any
time: it finds the job by its submission id, and the job continues when this program is stopped.

    submit.py submit JSON...        submits a job and follows it; the concatenated arguments are the request (class Attempt)
    submit.py stop ID               stops one job
    submit.py stop-all PREFIX       stops all jobs whose submission ids start with PREFIX
    submit.py place FILE DIR ...    unpacks each working directory FILE to DIR on the storage, unless DIR exists
"""

import base64
import collections
import hashlib
import http.client
import io
import json
import os
import shlex
import signal
import socket
import sys
import threading
import time
import urllib.parse
import zipfile

# Exit codes by error, from which the state machine gets the error. Package compile has the same list (submitterErrors). With any
# other exit code, this program itself was interrupted, and the next pod continues.
CODES = {
    "Ray.JobFailed": 41, "Ray.JobStopped": 42, "Ray.HeadLost": 43, "Ray.SubmitFailed": 44, "Ray.PendingTimeout": 45,
    "Ray.Unreachable": 46, "Ray.Unauthorized": 47, "States.Timeout": 48,
    "Ray.RuntimeEnvFailed": 49,
}
MARK = "::rayorch-output::"
MAX_OUTPUT = 32768
LAST_LINES = 20  # number of lines at the end of a log that can contain the output, and that a cause contains
TERMINAL = ("SUCCEEDED", "FAILED", "STOPPED")
# The names of the actor and its namespace are from Ray's dashboard/modules/job/common.py.
KILLER = """code='import os, ray
ray.init(log_to_driver=False)
try:
    ray.kill(ray.get_actor("_ray_internal_job_actor_" + os.environ["RAYORCH_KILL"], namespace="SUPERVISOR_ACTOR_RAY_NAMESPACE"))
except ValueError:
    pass
'
if command -v python >/dev/null; then python -c "$code"; else python3 -c "$code"; fi"""
# Limits in bytes, as in internal/task/raytask/spill.go: Linux' limit on a variable or an argument, minus space for what Ray adds.
MAX_VARIABLE = 128 << 10
MAX_RUNTIME_ENV = MAX_VARIABLE - (12 << 10)
MAX_ENTRYPOINT = MAX_VARIABLE - (4 << 10)
GRACE = float(os.environ.get("RAYORCH_GRACE") or 120)  # how long to wait for a Ray that does not respond, in seconds


class Failure(Exception):
    """The failure of the attempt. error is a key of CODES."""

    def __init__(self, error, cause):
        super().__init__(cause)
        self.error = error


class Unreachable(Exception):
    """Ray did not respond. The request can be retried."""


class Ray:
    """A client of Ray's dashboard."""

    def __init__(self):
        self.host, self.port = os.environ["RAYORCH_RAY"].rsplit(":", 1)
        self.headers = {}
        if os.environ.get("RAY_AUTH_TOKEN"):
            self.headers["Authorization"] = "Bearer " + os.environ["RAY_AUTH_TOKEN"].strip()

    def once(self, method, path, body=None, timeout=10):
        connection = http.client.HTTPConnection(self.host, int(self.port), timeout=timeout)
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        try:
            connection.request(method, path, data, {**self.headers, "Content-Type": kind})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as e:
            raise Unreachable("Ray at %s:%s does not respond: %s" % (self.host, self.port, e or type(e).__name__)) from e
        finally:
            connection.close()

    def ask(self, method, path, body=None, timeout=10, accept=(200,), until=None):
        """Returns the status and body of a response. Temporary failures are retried until a time (default: GRACE from now)."""
        until, wait = until or time.monotonic() + GRACE, 0.2
        while True:
            try:
                status, answer = self.once(method, path, body, timeout)
                text = answer.decode(errors="replace")
                if status in accept:
                    return status, answer
                if status in (401, 403):
                    raise Failure("Ray.Unauthorized", "Ray rejected the token: " + text.strip()[:500])
                if status < 500 or not (status > 500 or "No available agent" in text):
                    raise Failure("Ray.SubmitFailed", "Ray returned status %d for %s %s: %s" % (status, method, path, last(text)))
                why = "Ray returned status %d: %s" % (status, last(text))
            except Unreachable as e:
                why = str(e)
            if time.monotonic() + wait > until:
                raise Failure("Ray.Unreachable", why)
            time.sleep(wait)
            wait = min(2 * wait, 3)

    def job(self, ident):
        """Returns the job's record, or None if Ray does not have the job."""
        status, answer = self.ask("GET", "/api/jobs/" + ident, accept=(200, 404))
        return json.loads(answer) if status == 200 else None

    def session(self, until=None):
        return json.loads(self.ask("GET", "/api/version", until=until)[1]).get("session_name")

    def stop(self, ident, wait=GRACE):
        """Stops a job and waits until it has ended. A job that Ray does not have is not an error."""
        asked, killed = time.monotonic(), False
        if self.ask("POST", "/api/jobs/" + ident + "/stop", accept=(200, 404))[0] == 404:
            return
        while True:
            job = self.job(ident)
            if job is None or job["status"] in TERMINAL:
                return
            waited = time.monotonic() - asked
            if waited > wait:
                raise Failure("Ray.Unreachable", "Ray did not stop the job " + ident)
            if job["status"] == "PENDING" and waited > 2 and not killed:
                killed = True
                self.kill_pending(ident)
            time.sleep(0.3)

    def kill_pending(self, ident):
        """Kills the supervisor of a pending job. Otherwise, despite the stop, Ray runs the job when resources are available."""
        killer = {"submission_id": ident + "-kill", "entrypoint": KILLER, "runtime_env": {"env_vars": {"RAYORCH_KILL": ident}}}
        self.ask("POST", "/api/jobs/", killer, timeout=60, accept=(200, 500))


def last(text, size=2000, start=300):
    """Returns the start and the end of a long text: an error message starts with what failed, and a traceback ends with it."""
    text = text.strip()
    return text if len(text) <= size else text[:start] + "\n...\n" + text[start - size:]


def forms(secret):
    """Yields the forms in which a secret can appear in a log, as internal/task/joblog/redact.go does.

    The forms are the secret itself, its form in JSON, URLs, Python's repr and base64, and each of its lines.
    """
    yield from [secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]]
    yield from [urllib.parse.quote(secret, safe=""), urllib.parse.quote_plus(secret), *(line.strip() for line in secret.split("\n"))]
    data = secret.encode(errors="surrogateescape")
    if len(data) < 4:
        return
    for before in range(3):
        text = base64.b64encode(b"-" * before + data).decode().rstrip("=")
        text = text[(before * 8 + 5) // 6:(before + len(data)) * 8 // 6]
        if len(text) >= 8:
            yield from [text, text.replace("+", "-").replace("/", "_")]
    yield from [base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode()]


class Output:
    """Prints the job's log, without Ray's own lines and with secrets redacted. It holds the marked line back until the end."""

    def __init__(self, submission, secrets):
        found = {form for s in secrets for form in forms(s) if len(form) >= 4}
        self.secrets = sorted(found, key=lambda form: (-len(form), form))  # longer forms first: a form can contain others
        self.last = collections.deque(maxlen=LAST_LINES)
        self.marked, self.since = None, 0
        # Ray prints this into the job's log. The entrypoint can have several lines.
        announcement = "Running entrypoint for job %s: %s" % (submission["submission_id"], submission["entrypoint"])
        self.announced, self.echo = announcement.split("\n"), []

    def hide(self, text):
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text

    def line(self, text):
        if self.echo and text == self.echo[0]:
            self.echo = self.echo[1:]
            return
        if text.endswith(self.announced[0]):  # Ray may print it after the job's first output, in the middle of a line
            self.echo = self.announced[1:]
            text = text[:-len(self.announced[0])]
            if not text:
                return
        if "INFO job_manager.py:" in text and text.endswith("Runtime env is setting up."):
            return
        before, mark, output = text.partition(MARK)
        if mark:
            self.marked, self.since, text = output, 0, before
            if not text:
                return
        self.since += 1
        text = self.hide(text)
        self.last.append(text)
        print(text, flush=True)

    def output(self):
        """Returns the output from the marked line, or None if there is no marked line among the last lines."""
        return self.hide(self.marked) if self.marked is not None and self.since <= LAST_LINES else None

    def cause(self, why):
        return "\n".join([self.hide(why), *self.last])


class Log:
    """Reads a job's log, each line once and in order: first with Ray's tail, and the rest when the job has ended."""

    def __init__(self, ray, ident, output):
        self.ray, self.ident, self.output = ray, ident, output
        self.seen, self.ended, self.lock = 0, False, threading.Lock()

    def take(self, lines, start=0):
        """Processes lines of the log, the first of which has the index start. It skips lines that it has processed before."""
        with self.lock:
            for i, text in enumerate(lines, start):
                if i == self.seen and not (self.ended and threading.current_thread() is not threading.main_thread()):
                    self.seen += 1
                    self.output.line(text)

    def follow(self):
        """Reads the tail, in a separate thread, until the program ends. rest reads the lines that this thread misses."""
        wait = 0.5
        while not self.ended:
            before = self.seen
            try:
                self.tail()
            except (OSError, ValueError, http.client.HTTPException):
                pass
            wait = 0.5 if self.seen > before else min(2 * wait, 5)
            time.sleep(wait)

    def tail(self):
        """Reads the tail, a WebSocket, until the connection ends. Each connection starts at the beginning of the log."""
        with socket.create_connection((self.ray.host, int(self.ray.port)), timeout=10) as conn:
            key = base64.b64encode(os.urandom(16)).decode()
            headers = {"Host": "%s:%s" % (self.ray.host, self.ray.port), "Upgrade": "websocket", "Connection": "Upgrade",
                       "Sec-WebSocket-Key": key, "Sec-WebSocket-Version": "13", **self.ray.headers}
            lines = ["GET /api/jobs/%s/logs/tail HTTP/1.1" % self.ident, *("%s: %s" % h for h in headers.items()), "", ""]
            conn.sendall("\r\n".join(lines).encode())
            stream = conn.makefile("rb")
            if b" 101 " not in stream.readline(1000):
                raise ValueError("no tail")
            while stream.readline(10000).strip():
                pass
            conn.settimeout(None)
            at, rest = 0, ""
            for text in messages(stream, conn):
                whole = (rest + text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
                self.take(whole[:-1], at)
                at, rest = at + len(whole) - 1, whole[-1]

    def rest(self, job):
        """Reads the lines of an ended job that the tail has not returned."""
        with self.lock:
            self.ended = True
        text = None
        if job.get("driver_node_id"):
            path = "/api/v0/logs/file?filename=job-driver-%s.log&node_id=%s&lines=-1" % (self.ident, job["driver_node_id"])
            status, answer = self.ray.ask("GET", path, timeout=60, accept=(200, 404, 500))
            if status == 200:
                text = answer.decode(errors="replace")
        if text is None:  # the state API is disabled, or an older one
            answer = self.ray.ask("GET", "/api/jobs/" + self.ident + "/logs", timeout=60)[1]
            text = json.loads(answer).get("logs") or ""
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self.take(lines if lines[-1] else lines[:-1])


def messages(stream, conn):
    """Yields the text messages from the server of a WebSocket until the connection is closed."""
    parts = b""
    while True:
        head = stream.read(2)
        if len(head) < 2:
            return
        kind, size = head[0] & 15, head[1] & 127
        if size > 125:
            size = int.from_bytes(stream.read(2 if size == 126 else 8), "big")
        data = stream.read(size)
        if kind == 8 or len(data) < size:
            return
        if kind == 9 and size < 126:  # reply to a ping with a masked pong; the mask may be zero
            conn.sendall(bytes([0x8A, 0x80 | size, 0, 0, 0, 0]) + data)
        elif kind < 3:
            parts += data
            if head[0] & 0x80:
                yield parts.decode(errors="replace")
                parts = b""


class Spill:
    """Moves values that are too large for a job's environment or entrypoint to a package, which the entrypoint reads."""

    def __init__(self, submission, params, secrets):
        env = submission.setdefault("runtime_env", {})
        variables, entrypoint = env.setdefault("env_vars", {}), submission["entrypoint"]
        for name, value in (params or {}).items():
            variables["RAYORCH_PARAM_" + name.upper()] = value if isinstance(value, str) else compact(value)
        if params:
            variables["RAYORCH_PARAMS"] = compact(params)
        self.files, script = {}, []
        for name in sorted(variables):
            size = len((name + variables[name]).encode(errors="replace")) + 2
            if size > MAX_VARIABLE:
                if not name.startswith("RAYORCH_"):
                    raise Failure("Ray.SubmitFailed", "the environment variable %s must have at most %d bytes with its name, got %d: "
                                  "write the value to a file on the storage, and pass its path" % (name, MAX_VARIABLE, size))
                self.files[name] = variables.pop(name)
                script.append('export %s_FILE="$rayorch_dir/%s"' % (name, name))
        rest = len(json.dumps([env, submission.get("metadata", {})]))
        for name in sorted(variables, key=lambda name: -len(json.dumps(variables[name]))):
            if rest > MAX_RUNTIME_ENV and name not in secrets:
                rest -= len(json.dumps([name, variables[name]]))
                script.append("export %s=%s" % (name, shlex.quote(variables.pop(name))))
        if rest > MAX_RUNTIME_ENV:
            raise Failure("Ray.SubmitFailed", "the runtime environment, secrets and metadata must have at most %d bytes as JSON, "
                          "so that Ray can pass them to a process, got %d" % (MAX_RUNTIME_ENV, rest))
        if len(entrypoint.encode(errors="replace")) > MAX_ENTRYPOINT:
            self.files["entrypoint.sh"], entrypoint = entrypoint, '. "$rayorch_dir/entrypoint.sh"'
        if not script and not self.files:
            return
        self.files["env.sh"] = "\n".join([*script, ""])
        digest = hashlib.sha256(json.dumps(self.files, sort_keys=True).encode()).hexdigest()[:32]
        self.name, self.dir = "_ray_pkg_" + digest + ".zip", "rayorch-" + digest[:16]
        env["py_modules"] = [*env.get("py_modules", []), "gcs://" + self.name]
        submission["entrypoint"] = (
            'IFS=:; for rayorch_dir in $PYTHONPATH; do rayorch_dir="$rayorch_dir/%s"; [ -d "$rayorch_dir" ] && break; done; unset IFS\n'
            '. "$rayorch_dir/env.sh" || exit 120\n' % self.dir) + entrypoint

    def package(self):
        """Returns the content of the package."""
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
            for name, text in self.files.items():
                z.writestr(self.dir + "/" + name, text.encode(errors="replace"))
        return out.getvalue()


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class Attempt:
    """An attempt of a step. The keys of request, times in seconds except since:

    submission  body of the request to Ray's Jobs API
    since       start of the attempt, in milliseconds since the epoch
    pending     pending timeout
    timeout     timeout (optional)
    package     file with the working directory (optional)
    modules     files with py_modules, by the name of the package in Ray (optional)
    params      parameters that are too long for environment variables (optional)
    secrets     names of secrets that the job gets (optional); their values are in RAYORCH_SECRET_NAME
    hidden      names of other secrets to redact in the log (optional)
    """

    def __init__(self, request):
        self.ray, self.request, self.submission = Ray(), request, request["submission"]
        self.ident = self.submission["submission_id"]
        secrets = {name: os.environ["RAYORCH_SECRET_" + name] for name in request.get("secrets", [])}
        self.submission.setdefault("runtime_env", {}).setdefault("env_vars", {}).update(secrets)
        self.spill = Spill(self.submission, request.get("params"), secrets)
        # The secrets of other steps are redacted, too.
        others = [os.environ.get("RAYORCH_SECRET_" + name) for name in request.get("hidden", [])] + [os.environ.get("RAY_AUTH_TOKEN")]
        self.output = Output(self.submission, [*secrets.values(), *filter(None, others)])
        self.since = request["since"] / 1000  # start of the attempt, by the state machine's clock
        # The number of previous pods of the Job, which Kubernetes counts: only the first pod may submit.
        self.previous_pods = sum(int(os.environ.get(k) or 0) for k in ("RAYORCH_FAILED_PODS", "RAYORCH_IGNORED_PODS"))

    def pending(self):
        return max(self.since + self.request["pending"] - time.time(), 1)

    def run(self):
        self.session = self.ray.session(until=time.monotonic() + min(GRACE, self.pending()))
        job = self.ray.job(self.ident)
        if job is None and self.previous_pods:
            raise Failure("Ray.HeadLost", "Ray (session %s) has no job %s, which a previous submitter pod may have submitted: "
                          "the head was replaced" % (self.session, self.ident))
        if job is None:
            self.submit()
            job = self.look()
        elif job["entrypoint"] != self.submission["entrypoint"]:
            raise Failure("Ray.SubmitFailed", "another Ray job has the id %s: delete it" % self.ident)
        return self.end(self.follow(job))

    def submit(self):
        name = self.request.get("package")
        if name:
            self.submission["runtime_env"]["working_dir"] = "gcs://" + self.upload("_ray_pkg_" + name, self.read(name))
        for module, file in self.request.get("modules", {}).items():
            self.upload(module, self.read(file))
        if self.spill.files:
            self.upload(self.spill.name, self.spill.package())
        self.print("submitting job %s to %s:%s" % (self.ident, self.ray.host, self.ray.port))
        status, answer = self.ray.ask("POST", "/api/jobs/", self.submission, timeout=60, accept=(200, 500))
        text = answer.decode(errors="replace")
        if status == 500 and "use a different submission_id" not in text:
            if "No available agent" in text:  # the head has started, but its agent has not
                time.sleep(1)
                if self.pending() > 1:
                    return self.submit()
            raise Failure("Ray.SubmitFailed", "Ray rejected the job: " + last(text))
        return None

    def read(self, name):
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), name), "rb") as f:
            return f.read()

    def upload(self, name, data):
        """Uploads a package unless Ray has it. Ray deletes packages that no job uses, so each submission checks this."""
        path = "/api/packages/gcs/" + urllib.parse.quote(name)
        if self.ray.ask("GET", path, accept=(200, 404))[0] == 404:
            self.ray.ask("PUT", path, data, timeout=120)
        return name

    def print(self, text):
        print("rayorch: " + self.output.hide(text), file=sys.stderr, flush=True)

    def look(self):
        job = self.ray.job(self.ident)
        if job is None:
            raise Failure("Ray.HeadLost", "Ray has no job %s: the head was replaced (session %s, then %s)"
                          % (self.ident, self.session, self.ray.session()))
        return job

    def follow(self, job):
        """Waits for the job's end and prints its log meanwhile."""
        log, began, tailing = Log(self.ray, self.ident, self.output), None, False
        started = time.monotonic()
        while job["status"] not in TERMINAL:
            if job["status"] == "PENDING":
                if time.time() > self.since + self.request["pending"]:
                    self.give_up("Ray.PendingTimeout", "Ray did not start the job within %d s" % self.request["pending"], job)
            else:
                began = began or time.monotonic()
                if not tailing:
                    tailing = True
                    threading.Thread(target=log.follow, daemon=True).start()
                limit = self.request.get("timeout")
                ran = self.ran(began, job)
                if limit and ran > limit:
                    try:
                        log.rest(job)
                    except Failure:
                        pass  # stop the job anyway
                    self.give_up("States.Timeout", "the job timed out after %d s (limit %d s)" % (ran, limit), job)
            time.sleep(min(0.2 + (time.monotonic() - started) / 200, 2))
            job = self.look()
        log.rest(job)
        return job

    def ran(self, began, job):
        """Returns how long the job has run, in seconds. Pods after the first one use the time at which Ray accepted the job."""
        accepted = (job.get("start_time") or 0) / 1000
        return max(time.monotonic() - began, time.time() - accepted if self.previous_pods and accepted else 0)

    def give_up(self, error, cause, job):
        if job.get("message"):
            cause += ": " + job["message"]
        try:
            self.ray.stop(self.ident)
        except Failure as e:
            cause += "; stopping it failed: %s" % e
        raise Failure(error, self.output.cause(cause))

    def end(self, job):
        message = (job.get("message") or "").split(", last available logs")[0]
        if job["status"] == "STOPPED":
            raise Failure("Ray.JobStopped", self.output.cause(message or "somebody stopped the job"))
        if job["status"] == "FAILED":
            error = "Ray.JobFailed"
            if job.get("error_type") == "JOB_SUPERVISOR_ACTOR_START_TIMEOUT":
                error = "Ray.PendingTimeout"
            if runtime_env_failed(job):
                error = "Ray.RuntimeEnvFailed"
            raise Failure(error, self.output.cause(last(message) or "the job failed"))
        output = self.output.output()
        if output is None:
            return
        if len(output.encode()) > MAX_OUTPUT:
            raise Failure("Ray.JobFailed", "the job's output must have at most %d bytes: write large results to files on the "
                          "storage, and return their paths" % MAX_OUTPUT)
        reason = not_json(output)
        if reason:
            raise Failure("Ray.JobFailed", "the job's output (in the file $RAYORCH_OUTPUT) is not valid JSON: " + reason)
        print(MARK + output, flush=True)


class Constant(str):
    """NaN, Infinity or -Infinity, which Python's json module writes although they are not valid JSON."""


def not_json(text):
    """Returns the reason why a text is not valid JSON, or None."""
    try:
        value = json.loads(text, parse_constant=Constant)
    except ValueError:
        return "it is " + json.dumps(text[:100] + ("..." if len(text) > 100 else ""), ensure_ascii=False)
    found = ["%s is %s" % (path or "it", name) for path, name in constants(value, "")][:5]
    return ", ".join(found) if found else None


def constants(value, path):
    """Yields the constants in a value, each with its path."""
    if isinstance(value, Constant):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from constants(item, path + "." + key if path else key)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from constants(item, "%s[%d]" % (path, i))


def runtime_env_failed(job):
    """Returns whether Ray could not set up the runtime environment.

    Ray checks some of it only when it starts the job's supervisor. In this case, the message is a traceback.
    """
    message = job.get("message") or ""
    return message.startswith("runtime_env setup failed") or (
        message.startswith("Failed to start supervisor actor") and "/runtime_env/" in message)


def stop_all(prefix):
    ray = Ray()
    jobs = json.loads(ray.ask("GET", "/api/jobs/", timeout=60)[1])
    mine = [j["submission_id"] for j in jobs if (j.get("submission_id") or "").startswith(prefix)
            and j["status"] not in TERMINAL]
    for ident in mine:
        print("stopping job " + ident, flush=True)
        ray.stop(ident)


def place(archive, directory):
    """Unpacks an archive to a temporary directory and renames it: a directory that exists is always complete."""
    if os.path.isdir(directory):
        return
    temporary = "%s.%s.%d" % (directory, socket.gethostname(), os.getpid())
    os.makedirs(temporary)
    with zipfile.ZipFile(archive) as z:
        z.extractall(temporary)
        for info in z.infolist():
            if info.external_attr >> 16 & 0o111 and not info.is_dir():
                os.chmod(os.path.join(temporary, info.filename), 0o755)
    try:
        os.rename(temporary, directory)
    except OSError:
        if not os.path.isdir(directory):  # if it exists, another pod has created it in the meantime
            raise


def main(args):
    try:
        if args[0] == "submit":
            Attempt(json.loads("".join(args[1:]))).run()
        elif args[0] == "stop":
            Ray().stop(args[1])
        elif args[0] == "stop-all":
            stop_all(args[1])
        elif args[0] == "place":
            for archive, directory in zip(args[1::2], args[2::2]):
                place(archive, directory)
        else:
            raise SystemExit("unknown command " + args[0])
    except Failure as e:
        text = "%s: %s" % (e.error, e)
        print("rayorch: error: " + text, file=sys.stderr, flush=True)
        explain(str(e))
        return CODES[e.error]
    return 0


def explain(cause):
    """Writes the cause to the pod's termination message, which the state machine reads. Kubernetes keeps 4,096 bytes of it."""
    path = os.environ.get("RAYORCH_TERMINATION") or "/dev/termination-log"
    data = cause.encode()
    if len(data) > 4000:
        data = data[:1000] + b"\n...\n" + data[-2900:]
    try:
        with open(path, "wb") as f:
            f.write(data.decode(errors="ignore").encode())
    except OSError:
        pass


if __name__ == "__main__":
    # Without a handler, process 1 of a container ignores the signal. The job continues, and the next pod follows it.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    # Exits without waiting for the thread that reads the log.
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)
