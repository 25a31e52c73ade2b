package awstest

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// EKS is a double of ours for what no emulator has: DescribeCluster, and a front of a real Kubernetes that takes EKS'
// tokens as the authenticator of a real cluster does: it decodes them, has the emulator's STS say who signed them, and
// lets in whom an entry names. Behind it the call goes on to the real API server as that user.
type EKS struct {
	// Name, Endpoint and CA are the cluster as parameters name it.
	Name, Endpoint, CA string
	// URL is where DescribeCluster answers: AWS_ENDPOINT_URL_EKS.
	URL string

	mu      sync.Mutex
	entries map[string]Entry // by the caller's ARN, as STS tells it, up to the session's name
	mode    string
	private bool
	failing int // how many of the next calls of the cluster fail
	sts     string
	behind  http.Handler
}

// Entry is whom the cluster takes a caller for. An Admin may do everything.
type Entry struct {
	User   string
	Groups []string
	Admin  bool
}

// NewEKS starts the double before the cluster of a kubeconfig, with tokens checked by an emulator's STS.
func NewEKS(t testing.TB, e *Emulator, kubeconfig string) *EKS {
	t.Helper()
	d := &EKS{Name: "eks-cluster", entries: map[string]Entry{}, mode: "API_AND_CONFIG_MAP", sts: e.URL, behind: through(t, kubeconfig)}
	front := httptest.NewTLSServer(http.HandlerFunc(d.serve))
	t.Cleanup(front.Close)
	api := httptest.NewServer(http.HandlerFunc(d.describe))
	t.Cleanup(api.Close)
	d.Endpoint, d.URL = front.URL, api.URL
	d.CA = base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}))
	return d
}

// Let lets a role in; an ARN is arn:aws:sts::ACCOUNT:assumed-role/NAME, or a user's.
func (d *EKS) Let(caller string, e Entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries[caller] = e
}

// Mode sets the authentication mode: API, API_AND_CONFIG_MAP or CONFIG_MAP.
func (d *EKS) Mode(mode string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mode = mode
}

// Private takes the public endpoint away, as DescribeCluster tells it.
func (d *EKS) Private() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.private = true
}

// Fail makes the next calls of the cluster fail as behind a load balancer whose API servers are all busy or being replaced.
func (d *EKS) Fail(calls int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failing = calls
}

// fails counts a call that is to fail.
func (d *EKS) fails() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failing = max(d.failing, 0) - 1
	return d.failing >= 0
}

// describe is DescribeCluster.
func (d *EKS) describe(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path != "/clusters/"+d.Name {
		w.Header().Set("X-Amzn-Errortype", "ResourceNotFoundException")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"message": "No cluster found."}`)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"cluster": map[string]any{
		"name": d.Name, "endpoint": d.Endpoint, "status": "ACTIVE", "certificateAuthority": map[string]any{"data": d.CA},
		"resourcesVpcConfig": map[string]any{"endpointPublicAccess": !d.private, "endpointPrivateAccess": true},
		"accessConfig":       map[string]any{"authenticationMode": d.mode},
		"identity":           map[string]any{"oidc": map[string]any{"issuer": "https://oidc.eks." + Region + ".amazonaws.com/id/DOUBLE"}},
	}})
}

// serve authenticates as a cluster on EKS does, and passes the call on.
func (d *EKS) serve(w http.ResponseWriter, r *http.Request) {
	if d.fails() {
		http.Error(w, "no API server answers (the double says)", http.StatusBadGateway)
		return
	}
	caller, err := d.caller(r)
	d.mu.Lock()
	entry, known := d.entries[caller]
	d.mu.Unlock()
	if err != nil || !known {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Unauthorized", "code": 401, "message": %q}`,
			fmt.Sprintf("Unauthorized (the double says: %s, %v)", caller, err))
		return
	}
	r = r.Clone(r.Context())
	r.Header.Del("Authorization")
	if !entry.Admin {
		r.Header.Set("Impersonate-User", entry.User)
		r.Header["Impersonate-Group"] = append([]string{"system:authenticated"}, entry.Groups...)
	}
	d.behind.ServeHTTP(w, r)
}

// caller reads the token: it must be a presigned GetCallerIdentity with the cluster's name signed, which the emulator's
// STS then answers in place of AWS's.
func (d *EKS) caller(r *http.Request) (string, error) {
	text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer k8s-aws-v1.")
	if !ok {
		return "", fmt.Errorf("no token of EKS")
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(string(raw))
	if err != nil || u.Host != "sts."+Region+".amazonaws.com" || u.Query().Get("Action") != "GetCallerIdentity" ||
		!strings.Contains(u.Query().Get("X-Amz-SignedHeaders"), "x-k8s-aws-id") {
		return "", fmt.Errorf("no presigned GetCallerIdentity: %s", raw)
	}
	q := u.Query()
	form := url.Values{"Action": {q.Get("Action")}, "Version": {q.Get("Version")}}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, d.sts+"/", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	// Emulators look for the service in a header, not in a presigned address, and check no signature in either.
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+q.Get("X-Amz-Credential")+", SignedHeaders=host, Signature="+q.Get("X-Amz-Signature"))
	req.Header.Set("X-Amz-Date", q.Get("X-Amz-Date"))
	if token := q.Get("X-Amz-Security-Token"); token != "" {
		req.Header.Set("X-Amz-Security-Token", token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	var answer struct {
		ARN string `xml:"GetCallerIdentityResult>Arn"`
	}
	if err := xml.Unmarshal(data, &answer); err != nil {
		return "", fmt.Errorf("%w: %s", err, data)
	}
	parts := strings.Split(answer.ARN, "/")
	return strings.Join(parts[:min(2, len(parts))], "/"), nil
}

// through passes calls to the API server of a kubeconfig on, with its credentials.
func through(t testing.TB, kubeconfig string) http.Handler {
	t.Helper()
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	to, err := url.Parse(cfg.Host)
	if err != nil {
		t.Fatal(err)
	}
	p := httputil.NewSingleHostReverseProxy(to)
	if p.Transport, err = rest.TransportFor(cfg); err != nil {
		t.Fatal(err)
	}
	return p
}

// Forget takes an entry away.
func (d *EKS) Forget(caller string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.entries, caller)
}
