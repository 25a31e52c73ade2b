"""Submits a job to Ray from a pod beside it, prints what the job prints, and says by its exit code how the job ended.

Runs with nothing but Python's standard library, in whatever image has a Python. It may be killed and started again at
any time: the job is found again by its submission id, and is not stopped when this program is.

    submit.py submit JSON...        the arguments, joined, are the submission
    submit.py stop ID               stops one job
    submit.py stop-all PREFIX       stops all jobs whose submission ids start so
    submit.py place FILE DIR ...    unpacks working directories on the storage, unless they are there
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

# Exit codes tell the state machine which error it is. Others mean that this program itself did not get to the end:
# then the next pod goes on where it was.
CODES = {
    "Ray.JobFailed": 41, "Ray.JobStopped": 42, "Ray.HeadLost": 43, "Ray.SubmitFailed": 44, "Ray.PendingTimeout": 45,
    "Ray.Unreachable": 46, "Ray.Unauthorized": 47, "States.Timeout": 48,
    "Ray.RuntimeEnvFailed": 49,
}
MARK = "::rayorch-output::"
MAX_OUTPUT = 32768
LAST_LINES = 20  # among so many at a log's end an output is looked for, and a cause shows so many
TERMINAL = ("SUCCEEDED", "FAILED", "STOPPED")
# The names of the actor and its namespace are Ray's own (dashboard/modules/job/common.py).
KILLER = """code='import os, ray
ray.init(log_to_driver=False)
try:
    ray.kill(ray.get_actor("_ray_internal_job_actor_" + os.environ["RAYORCH_KILL"], namespace="SUPERVISOR_ACTOR_RAY_NAMESPACE"))
except ValueError:
    pass
'
if command -v python >/dev/null; then python -c "$code"; else python3 -c "$code"; fi"""
# As in internal/task/raytask/spill.go: what Linux takes as one variable or argument, less room for what Ray adds.
MAX_VARIABLE = 128 << 10
MAX_RUNTIME_ENV = MAX_VARIABLE - (12 << 10)
MAX_ENTRYPOINT = MAX_VARIABLE - (4 << 10)
GRACE = float(os.environ.get("RAYORCH_GRACE") or 120)  # how long a Ray that does not answer is waited for, in seconds


class Failure(Exception):
    """How the attempt ends, by one of the names in CODES."""

    def __init__(self, error, cause):
        super().__init__(cause)
        self.error = error


class Unreachable(Exception):
    """Ray did not answer; it may when asked again."""


class Ray:
    """Ray's dashboard."""

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
            raise Unreachable("ray at %s:%s does not answer: %s" % (self.host, self.port, e or type(e).__name__)) from e
        finally:
            connection.close()

    def ask(self, method, path, body=None, timeout=10, accept=(200,), until=None):
        """The status and body of an answer; what may pass is asked again, until a time that defaults to GRACE from now."""
        until, wait = until or time.monotonic() + GRACE, 0.2
        while True:
            try:
                status, answer = self.once(method, path, body, timeout)
                text = answer.decode(errors="replace")
                if status in accept:
                    return status, answer
                if status in (401, 403):
                    raise Failure("Ray.Unauthorized", "ray refuses the token: " + text.strip()[:500])
                if status < 500 or not (status > 500 or "No available agent" in text):
                    raise Failure("Ray.SubmitFailed", "ray answers %s %s with %d: %s" % (method, path, status, last(text)))
                why = "ray answers %d: %s" % (status, last(text))
            except Unreachable as e:
                why = str(e)
            if time.monotonic() + wait > until:
                raise Failure("Ray.Unreachable", why)
            time.sleep(wait)
            wait = min(2 * wait, 3)

    def job(self, ident):
        """The job's record, or None when Ray has none."""
        status, answer = self.ask("GET", "/api/jobs/" + ident, accept=(200, 404))
        return json.loads(answer) if status == 200 else None

    def session(self, until=None):
        return json.loads(self.ask("GET", "/api/version", until=until)[1]).get("session_name")

    def stop(self, ident, wait=GRACE):
        """Stops a job and waits until Ray says that it has ended; one that is not there is no error."""
        asked, killed = time.monotonic(), False
        if self.ask("POST", "/api/jobs/" + ident + "/stop", accept=(200, 404))[0] == 404:
            return
        while True:
            job = self.job(ident)
            if job is None or job["status"] in TERMINAL:
                return
            waited = time.monotonic() - asked
            if waited > wait:
                raise Failure("Ray.Unreachable", "ray does not stop the job " + ident)
            if job["status"] == "PENDING" and waited > 2 and not killed:
                killed = True
                self.call_off(ident)
            time.sleep(0.3)

    def call_off(self, ident):
        """Ray says that it stops a pending job, and yet runs it as soon as there is room: its supervisor must be killed."""
        killer = {"submission_id": ident + "-kill", "entrypoint": KILLER, "runtime_env": {"env_vars": {"RAYORCH_KILL": ident}}}
        self.ask("POST", "/api/jobs/", killer, timeout=60, accept=(200, 500))


def last(text, size=2000, start=300):
    """The end of a long text, for a traceback says most there, after its start, which says what failed."""
    text = text.strip()
    return text if len(text) <= size else text[:start] + "\n...\n" + text[start - size:]


def forms(secret):
    """How a secret can show, as in internal/task/joblog/redact.go: as it is, in JSON, URLs, Python's repr and base64, and by line."""
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
    """What the job prints: without Ray's own lines, without secrets; the marked line is kept for the end."""

    def __init__(self, submission, secrets):
        found = {form for s in secrets for form in forms(s) if len(form) >= 4}
        self.secrets = sorted(found, key=lambda form: (-len(form), form))  # of two that start alike, the longer one first
        self.last = collections.deque(maxlen=LAST_LINES)
        self.marked, self.since = None, 0
        said = "Running entrypoint for job %s: %s" % (submission["submission_id"], submission["entrypoint"])
        self.announced, self.echo = said.split("\n"), []

    def hide(self, text):
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text

    def line(self, text):
        if self.echo and text == self.echo[0]:
            self.echo = self.echo[1:]
            return
        if text.endswith(self.announced[0]):  # Ray may write it after what the job printed first, in the middle of a line
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
        """The marked line, where it is near the end."""
        return self.hide(self.marked) if self.marked is not None and self.since <= LAST_LINES else None

    def cause(self, why):
        return "\n".join([self.hide(why), *self.last])


class Log:
    """A job's log, each line once and in order: by Ray's tail as it comes, and the rest when the job has ended."""

    def __init__(self, ray, ident, output):
        self.ray, self.ident, self.output = ray, ident, output
        self.seen, self.ended, self.lock = 0, False, threading.Lock()

    def take(self, lines, start=0):
        """Lines of the log from its start-th one on."""
        with self.lock:
            for i, text in enumerate(lines, start):
                if i == self.seen and not (self.ended and threading.current_thread() is not threading.main_thread()):
                    self.seen += 1
                    self.output.line(text)

    def follow(self):
        """Runs in a thread of its own until the program ends. What it misses, rest brings."""
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
        """One reading of the tail, a WebSocket. It starts at the log's start each time."""
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
        """All that a job which has ended printed beyond what the tail brought."""
        with self.lock:
            self.ended = True
        text = None
        if job.get("driver_node_id"):
            path = "/api/v0/logs/file?filename=job-driver-%s.log&node_id=%s&lines=-1" % (self.ident, job["driver_node_id"])
            status, answer = self.ray.ask("GET", path, timeout=60, accept=(200, 404, 500))
            if status == 200:
                text = answer.decode(errors="replace")
        if text is None:  # the state API is off, or older
            answer = self.ray.ask("GET", "/api/jobs/" + self.ident + "/logs", timeout=60)[1]
            text = json.loads(answer).get("logs") or ""
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self.take(lines if lines[-1] else lines[:-1])


def messages(stream, conn):
    """The text messages of a WebSocket from the server until it closes."""
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
        if kind == 9 and size < 126:  # a ping wants a masked pong; the mask may be zero
            conn.sendall(bytes([0x8A, 0x80 | size, 0, 0, 0, 0]) + data)
        elif kind < 3:
            parts += data
            if head[0] & 0x80:
                yield parts.decode(errors="replace")
                parts = b""


class Spill:
    """What does not fit into a job's environment and entrypoint: a package of py_modules, which the entrypoint reads."""

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
                    raise Failure("Ray.SubmitFailed", "the environment variable %s has %d bytes with its name, more than the %d that Linux "
                                  "takes: write the value to a file on the storage, and pass its path" % (name, size, MAX_VARIABLE))
                self.files[name] = variables.pop(name)
                script.append('export %s_FILE="$rayorch_dir/%s"' % (name, name))
        rest = len(json.dumps([env, submission.get("metadata", {})]))
        for name in sorted(variables, key=lambda name: -len(json.dumps(variables[name]))):
            if rest > MAX_RUNTIME_ENV and name not in secrets:
                rest -= len(json.dumps([name, variables[name]]))
                script.append("export %s=%s" % (name, shlex.quote(variables.pop(name))))
        if rest > MAX_RUNTIME_ENV:
            raise Failure("Ray.SubmitFailed", "the runtime environment, secrets and metadata have %d bytes as JSON, more than the %d that "
                          "Ray can pass to a process" % (rest, MAX_RUNTIME_ENV))
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
        """The package's bytes."""
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
            for name, text in self.files.items():
                z.writestr(self.dir + "/" + name, text.encode(errors="replace"))
        return out.getvalue()


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class Attempt:
    """One attempt of a step."""

    def __init__(self, request):
        self.ray, self.request, self.submission = Ray(), request, request["submission"]
        self.ident = self.submission["submission_id"]
        secrets = {name: os.environ["RAYORCH_SECRET_" + name] for name in request.get("secrets", [])}
        self.submission.setdefault("runtime_env", {}).setdefault("env_vars", {}).update(secrets)
        self.spill = Spill(self.submission, request.get("params"), secrets)
        # Those of other steps are hidden, too.
        others = [os.environ.get("RAYORCH_SECRET_" + name) for name in request.get("hidden", [])] + [os.environ.get("RAY_AUTH_TOKEN")]
        self.output = Output(self.submission, [*secrets.values(), *filter(None, others)])
        self.since = request["since"] / 1000  # when the attempt began, by the state machine's clock
        # Kubernetes counts the pods before this one, so that the first is told from one that follows.
        self.former = sum(int(os.environ.get(k) or 0) for k in ("RAYORCH_FAILED_PODS", "RAYORCH_IGNORED_PODS"))

    def pending(self):
        return max(self.since + self.request["pending"] - time.time(), 1)

    def run(self):
        self.session = self.ray.session(until=time.monotonic() + min(GRACE, self.pending()))
        job = self.ray.job(self.ident)
        if job is None and self.former:
            raise Failure("Ray.HeadLost", "ray (session %s) does not know the job %s, which a submitter before this one may "
                          "have sent: its head is a new one" % (self.session, self.ident))
        if job is None:
            self.submit()
            job = self.look()
        elif job["entrypoint"] != self.submission["entrypoint"]:
            raise Failure("Ray.SubmitFailed", "ray holds another job of the id %s: delete it" % self.ident)
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
            if "No available agent" in text:  # the head is up, its agent not yet
                time.sleep(1)
                if self.pending() > 1:
                    return self.submit()
            raise Failure("Ray.SubmitFailed", "ray refused the job: " + last(text))
        return None

    def read(self, name):
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), name), "rb") as f:
            return f.read()

    def upload(self, name, data):
        """Packages that no job refers to vanish, so that Ray is asked before each submit."""
        path = "/api/packages/gcs/" + urllib.parse.quote(name)
        if self.ray.ask("GET", path, accept=(200, 404))[0] == 404:
            self.ray.ask("PUT", path, data, timeout=120)
        return name

    def print(self, text):
        print("rayorch: " + self.output.hide(text), file=sys.stderr, flush=True)

    def look(self):
        job = self.ray.job(self.ident)
        if job is None:
            raise Failure("Ray.HeadLost", "ray no longer knows the job %s: its head was replaced (session %s, then %s)"
                          % (self.ident, self.session, self.ray.session()))
        return job

    def follow(self, job):
        """Waits for the job's end, with its lines printed as they come."""
        log, began, tailing = Log(self.ray, self.ident, self.output), None, False
        started = time.monotonic()
        while job["status"] not in TERMINAL:
            if job["status"] == "PENDING":
                if time.time() > self.since + self.request["pending"]:
                    self.give_up("Ray.PendingTimeout", "ray did not start the job within %d s" % self.request["pending"], job)
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
                        pass  # the job is to be stopped all the same
                    self.give_up("States.Timeout", "the job timed out after %d s (limit %d s)" % (ran, limit), job)
            time.sleep(min(0.2 + (time.monotonic() - started) / 200, 2))
            job = self.look()
        log.rest(job)
        return job

    def ran(self, began, job):
        """How long the job has run. A submitter that came later goes by when Ray took the job."""
        taken = (job.get("start_time") or 0) / 1000
        return max(time.monotonic() - began, time.time() - taken if self.former and taken else 0)

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
            raise Failure("Ray.JobFailed", "the job's output has more than %d bytes: write large results to the storage and "
                          "name them in the output" % MAX_OUTPUT)
        reason = not_json(output)
        if reason:
            raise Failure("Ray.JobFailed", "the job's output, which it wrote to the file that RAYORCH_OUTPUT names, is not "
                          "JSON: " + reason)
        print(MARK + output, flush=True)


class Constant(str):
    """A float that Python's json writes and JSON does not have: NaN, Infinity or -Infinity."""


def not_json(text):
    """Why a text is not JSON, or None."""
    try:
        value = json.loads(text, parse_constant=Constant)
    except ValueError:
        return "it is " + json.dumps(text[:100] + ("..." if len(text) > 100 else ""), ensure_ascii=False)
    found = ["%s is %s" % (path or "it", name) for path, name in constants(value, "")][:5]
    return "JSON has no NaN and no Infinity, but " + ", ".join(found) if found else None


def constants(value, path):
    """The constants in a value, each with its path."""
    if isinstance(value, Constant):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from constants(item, path + "." + key if path else key)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from constants(item, "%s[%d]" % (path, i))


def runtime_env_failed(job):
    """Some of a runtime environment Ray checks only as it starts the job's supervisor: its traceback says so."""
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
    """A directory that is there is whole: it is unpacked beside its place and moved there at once."""
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
        if not os.path.isdir(directory):  # else another pod was quicker
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
    """Leaves the cause where the state machine finds it; Kubernetes keeps 4,096 bytes."""
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
    # As process 1 of a container it would be deaf to this. The job goes on: the next pod follows it.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    # The log's thread may wait for a line: it must not hold the exit up.
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)
