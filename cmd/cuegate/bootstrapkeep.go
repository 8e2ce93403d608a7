package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/cuegate/cuegate/adapters/tyk"
)

// The label of a Secret that bootstrap keeps.
const (
	bootstrapLabel = "cuegate.dev/bootstrap"
	bootstrapValue = "dashboard"
)

// secretKeeper keeps all in a Secret. What else is in it stays.
type secretKeeper struct {
	client          kubernetes.Interface
	namespace, name string
	// seen is the Secret as it was read or written last; nil where there is none.
	seen *corev1.Secret
	// ours are the names of what is ours in seen.
	ours map[string]string
}

func (k *secretKeeper) place() string { return fmt.Sprintf("the Secret %s/%s", k.namespace, k.name) }

func (k *secretKeeper) use() string {
	return "cuegate run --source kubernetes --dashboard %s\nwith the environment variable CUEGATE_SECRET from the key \"secret\" of that Secret, and"
}

func (k *secretKeeper) look() string {
	return fmt.Sprintf("kubectl get secret -n %s %s -o go-template='{{range $k, $v := .data}}{{$k}}: {{$v | base64decode}}{{\"\\n\"}}{{end}}'", k.namespace, k.name)
}

func (k *secretKeeper) load(ctx context.Context) (tyk.BootstrapState, error) {
	s, err := k.client.CoreV1().Secrets(k.namespace).Get(ctx, k.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return tyk.BootstrapState{}, nil
	}
	if err != nil {
		return tyk.BootstrapState{}, k.explain("reading", err)
	}
	if s.Labels[bootstrapLabel] != bootstrapValue {
		return tyk.BootstrapState{}, fmt.Errorf("%s is somebody else's (it has no label %s: %s), and is left alone: name another with --secret-name", k.place(), bootstrapLabel, bootstrapValue)
	}
	data := map[string]string{}
	for name, value := range s.Data {
		data[name] = string(value)
	}
	state, err := tyk.ReadBootstrapState(data)
	if err != nil {
		return state, fmt.Errorf("%s was changed by hand: %w; mend it, or delete it to begin anew", k.place(), err)
	}
	k.seen, k.ours = s, state.Data()
	return state, nil
}

func (k *secretKeeper) save(ctx context.Context, state tyk.BootstrapState) error {
	secrets := k.client.CoreV1().Secrets(k.namespace)
	data := state.Data()
	s := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: k.namespace, Name: k.name, Labels: map[string]string{bootstrapLabel: bootstrapValue}},
		Type:       corev1.SecretTypeOpaque,
	}
	if k.seen != nil {
		s = k.seen.DeepCopy()
	}
	for name := range k.ours {
		delete(s.Data, name)
	}
	if s.Data == nil {
		s.Data = map[string][]byte{}
	}
	for name, text := range data {
		s.Data[name] = []byte(text)
	}
	var err error
	if k.seen == nil {
		s, err = secrets.Create(ctx, s, metav1.CreateOptions{})
	} else {
		s, err = secrets.Update(ctx, s, metav1.UpdateOptions{})
	}
	if err != nil {
		return k.explain("writing", err)
	}
	k.seen, k.ours = s, data
	return nil
}

// explain says what to do about an answer of the API server.
func (k *secretKeeper) explain(doing string, err error) error {
	advice := ""
	switch {
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		advice = "; it takes the right to get, create and update Secrets in the namespace " + k.namespace
	case apierrors.IsNotFound(err):
		advice = "; if there is no namespace " + k.namespace + " yet, make it first: kubectl create namespace " + k.namespace
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		advice = "; another bootstrap seems to be at work: let it end, and run this one again"
	}
	return fmt.Errorf("%s %s: %w%s", doing, k.place(), err, advice)
}

// fileKeeper keeps all in a file, as assignments that a shell reads too.
type fileKeeper struct {
	name string
	// there tells that the file is.
	there bool
}

// fileHeader is the first line of such a file.
const fileHeader = "# Of a Tyk Dashboard, by cuegate bootstrap. Whoever reads this is its admin."

// fileNames are the names in the file, in its order, and those of a BootstrapState.
var fileNames = [][2]string{
	{"CUEGATE_ORGANISATION", "organisation"}, {"CUEGATE_ORG_ID", "orgID"}, {"CUEGATE_EMAIL", "email"}, {"CUEGATE_USER_ID", "userID"},
	{"CUEGATE_PASSWORD", "password"}, {"CUEGATE_SECRET", "secret"}, {"CUEGATE_PENDING", "pending"},
}

func (k *fileKeeper) place() string { return "the file " + k.name }

func (k *fileKeeper) use() string {
	return "set -a; . " + k.shell() + "; set +a\n  cuegate run --dashboard %s"
}

func (k *fileKeeper) look() string { return "cat " + k.shell() }

// shell gives the name as a shell reads it.
func (k *fileKeeper) shell() string {
	name := k.name
	if !strings.Contains(name, "/") {
		name = "./" + name // the dot command looks along PATH otherwise
	}
	if strings.ContainsFunc(name, func(c rune) bool { return !strings.ContainsRune("/._-", c) && !isAlphanumeric(c) }) {
		return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
	}
	return name
}

func isAlphanumeric(c rune) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func (k *fileKeeper) load(context.Context) (tyk.BootstrapState, error) {
	text, err := os.ReadFile(k.name)
	if errors.Is(err, fs.ErrNotExist) {
		return tyk.BootstrapState{}, nil
	}
	if err != nil {
		return tyk.BootstrapState{}, err
	}
	k.there = true
	if len(text) == 0 { // save was broken off, the first time
		return tyk.BootstrapState{}, nil
	}
	first, rest, _ := strings.Cut(string(text), "\n")
	if first != fileHeader {
		return tyk.BootstrapState{}, fmt.Errorf("%s is not one of bootstrap, and is left alone: name another with --out", k.place())
	}
	fields := map[string]string{}
	for _, n := range fileNames {
		fields[n[0]] = n[1]
	}
	data := map[string]string{}
	for line := range strings.Lines(rest) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if field := fields[name]; field != "" {
			data[field] = strings.Trim(value, `"`)
		}
	}
	state, err := tyk.ReadBootstrapState(data)
	if err != nil {
		return state, fmt.Errorf("%s was changed by hand: %w; mend it, or delete it to begin anew", k.place(), err)
	}
	return state, nil
}

// save writes a new file and puts it into the place of the old one, so that there is
// always one that is whole.
func (k *fileKeeper) save(_ context.Context, state tyk.BootstrapState) error {
	if err := k.claim(); err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString(fileHeader + "\n")
	data := state.Data()
	for _, n := range fileNames {
		if text := data[n[1]]; text != "" {
			fmt.Fprintf(&b, "%s=\"%s\"\n", n[0], text)
		}
	}
	f, err := os.CreateTemp(filepath.Dir(k.name), ".cuegate-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(b.String())
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), k.name)
}

// claim makes the file, which nobody else may have made since load.
func (k *fileKeeper) claim() error {
	if k.there {
		return nil
	}
	f, err := os.OpenFile(k.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s was made by somebody else just now: another bootstrap seems to be at work", k.place())
	}
	if err != nil {
		return err
	}
	k.there = true
	return f.Close()
}
