package tyk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cuegate/cuegate/adapters/tyk/dashboardtest"
)

const testAdminSecret = "admin-s3cret"

// site is a Dashboard that nobody has bootstrapped, and a place to keep what is known.
type site struct {
	*dashboardtest.Dashboard
	*httptest.Server
	// around sees every request before the Dashboard does, where there is one.
	around atomic.Pointer[func(http.Handler) http.Handler]
	kept   map[string]string
	// saves counts; saveFails tells whether the n-th, from 1, fails.
	saves     int
	saveFails func(n int) bool
	told      []string
	// failures counts the runs that broken let fail.
	failures int
}

func newSite(t testing.TB, b dashboardtest.Behaviour) *site {
	t.Helper()
	s := &site{
		Dashboard: dashboardtest.New(dashboardtest.Config{AdminSecret: testAdminSecret, Version: b}),
		saveFails: func(int) bool { return false },
	}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var h http.Handler = s.Dashboard
		if around := s.around.Load(); around != nil {
			h = (*around)(h)
		}
		h.ServeHTTP(w, r)
	}))
	s.Config.ErrorLog = discardLog
	s.Start()
	t.Cleanup(s.Server.Close)
	return s
}

func (s *site) surround(f func(http.Handler) http.Handler) { s.around.Store(&f) }

var errFull = errors.New("no room to save")

// run is one run of the program: it reads what is kept, and saves.
func (s *site) run(t testing.TB, change func(*Bootstrap)) (Bootstrapped, error) {
	t.Helper()
	var known BootstrapState
	if s.kept != nil {
		var err error
		if known, err = ReadBootstrapState(s.kept); err != nil {
			t.Fatalf("what was saved cannot be read: %v", err)
		}
	}
	b := Bootstrap{
		Dashboard: Settings{URL: s.URL, Secret: NewSecret(testAdminSecret), Attempts: 1, FirstPause: time.Microsecond},
		Save: func(_ context.Context, x BootstrapState) error {
			if s.saves++; s.saveFails(s.saves) {
				return errFull
			}
			s.kept = x.Data()
			return nil
		},
		Progress: func(text string) { s.told = append(s.told, text) },
	}
	if change != nil {
		change(&b)
	}
	got, err := b.Run(t.Context(), known)
	s.keepsSilent(t, err)
	return got, err
}

// keepsSilent looks for secrets where there must not be any.
func (s *site) keepsSilent(t testing.TB, err error) {
	t.Helper()
	text := strings.Join(s.told, "\n") + fmt.Sprintf("\n%v %+v", err, err)
	secrets := []string{testAdminSecret, s.kept[stateKey], s.kept[statePassword]}
	for _, u := range s.Users() {
		secrets = append(append(secrets, u.Key), u.Passwords...)
	}
	for _, secret := range secrets {
		if secret != "" && strings.Contains(text, secret) {
			t.Errorf("a secret is told:\n%s", text)
		}
	}
}

// expectDone holds the Dashboard, and what is kept, to the end of a bootstrap.
func (s *site) expectDone(t testing.TB, got Bootstrapped) {
	t.Helper()
	orgs, users := s.Organisations(), s.Users()
	if len(orgs) != 1 || len(users) != 1 {
		t.Fatalf("there are %d organisations and %d users", len(orgs), len(users))
	}
	o, u := orgs[0], users[0]
	want := map[string]string{
		"organisation": "Cuegate", "orgID": o.ID, "email": "admin@cuegate.local", "userID": u.ID, "secret": u.Key, "password": u.Passwords[len(u.Passwords)-1],
	}
	if o.Name != "Cuegate" || u.OrgID != o.ID || u.Email != "admin@cuegate.local" || !u.Active || u.Permissions["IsAdmin"] != "admin" {
		t.Errorf("the Dashboard has %+v and a user %s of %s", o, u.Email, u.OrgID)
	}
	for _, data := range []map[string]string{s.kept, got.State.Data()} {
		if fmt.Sprint(data) != fmt.Sprint(want) {
			t.Errorf("kept is\n%v, and there is\n%v", data, want)
		}
	}
}

func TestBootstrap(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]dashboardtest.Behaviour{"new": {}, "old": {NoMeta: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, b)
			got, err := s.run(t, nil)
			if err != nil {
				t.Fatal(err)
			}
			s.expectDone(t, got)
			if !got.NewKey || !got.NewPassword {
				t.Errorf("nothing would be shown: %t %t", got.NewKey, got.NewPassword)
			}

			// Once more: it looks, and changes nothing.
			s.ResetCalls()
			saves := s.saves
			got, err = s.run(t, nil)
			if err != nil {
				t.Fatal(err)
			}
			s.expectDone(t, got)
			if got.NewKey || got.NewPassword || s.saves != saves {
				t.Errorf("the second run has news: %t %t, and %d saves", got.NewKey, got.NewPassword, s.saves-saves)
			}
			for call := range s.Calls() {
				if !strings.HasPrefix(call, "GET ") {
					t.Errorf("the second run called %s", call)
				}
			}

			// The key is good for pushing.
			x := newTestTarget(t, Settings{URL: s.URL, Secret: got.State.Key, OrgID: got.State.OrgID, Mode: Dashboard}, Options{})
			if r := mustPush(t, x, desired("cafe", 1, "/tea")); r.Created != 1 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// A failure at any call or save, before or after its effect, is mended by the next run.
func TestBootstrapResumes(t *testing.T) {
	t.Parallel()
	// breaks has one way of failing: what happens to the n-th request.
	breaks := map[string]func(h http.Handler) http.Handler{
		"refused": func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				http.Error(w, `{"Status":"Error","Message":"busy","Meta":null}`, http.StatusInternalServerError)
			})
		},
		"lost before": func(http.Handler) http.Handler {
			return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		},
		"lost after": func(h http.Handler) http.Handler {
			return intercept(func(*http.Request) bool { return true }, h)
		},
	}
	for _, b := range []dashboardtest.Behaviour{{}, {NoMeta: true}} {
		for how, wrap := range breaks {
			t.Run(fmt.Sprintf("call %s, nometa=%t", how, b.NoMeta), func(t *testing.T) {
				t.Parallel()
				// With again, what goes on after the failure fails at that call as well.
				for again := range int32(11) {
					failures := 0
					for n, more := int32(1), true; more; n++ {
						s := newSite(t, b)
						more = s.broken(t, wrap, n, again)
						failures += s.failures
					}
					if failures < 4 {
						t.Errorf("only %d calls could fail", failures)
					}
				}
			})
		}
	}
	t.Run("save", func(t *testing.T) {
		t.Parallel()
		for n := 1; ; n++ {
			s := newSite(t, dashboardtest.Behaviour{})
			s.saveFails = func(i int) bool { return i == n }
			_, err := s.run(t, nil)
			if err == nil {
				if n < 4 {
					t.Errorf("only %d saves were tried", n-1)
				}
				return
			}
			if !errors.Is(err, errFull) {
				t.Fatal(err)
			}
			got, err := s.run(t, nil)
			if err != nil {
				t.Fatalf("after save %d failed: %v", n, err)
			}
			s.expectDone(t, got)
		}
	})
}

// broken lets the n-th request fail, and in the run after it the again-th, unless that
// is 0; then all goes well. It tells whether there is an n-th request.
func (s *site) broken(t *testing.T, wrap func(http.Handler) http.Handler, n, again int32) bool {
	t.Helper()
	fail := func(n int32) *atomic.Int32 {
		var count atomic.Int32
		s.surround(func(h http.Handler) http.Handler {
			if count.Add(1) == n {
				return wrap(h)
			}
			return h
		})
		return &count
	}
	count := fail(n)
	got, err := s.run(t, nil)
	if count.Load() < n {
		if err != nil || n < 6 {
			t.Errorf("only %d calls: %v", count.Load(), err)
		}
		return false
	}
	// Some calls are made again by net/http, or do not matter.
	if err != nil {
		s.failures++
	}
	if err != nil && again > 0 {
		fail(again)
		got, err = s.run(t, nil)
	}
	if err != nil {
		fail(0)
		got, err = s.run(t, nil)
	}
	if err != nil {
		t.Errorf("after the calls %d and %d failed: %v", n, again, err)
		return true
	}
	s.expectDone(t, got)
	if !got.NewKey || !got.NewPassword {
		t.Errorf("after the calls %d and %d failed, nothing is shown", n, again)
	}
	return true
}

func TestBootstrapAdopts(t *testing.T) {
	t.Parallel()
	t.Run("an organisation", func(t *testing.T) {
		t.Parallel()
		for _, byID := range []bool{false, true} {
			s := newSite(t, dashboardtest.Behaviour{})
			s.AddOrganisation("Other")
			id := s.AddOrganisation("Acme Ltd.")
			human := s.AddUser(id, "ann@acme.test")
			name := "Acme Ltd."
			if byID {
				name = id
			}
			got, err := s.run(t, func(b *Bootstrap) { b.Organisation = name })
			if err != nil {
				t.Fatal(err)
			}
			users := s.Users()
			if got.State.OrgID != id || got.State.Organisation != "Acme Ltd." || len(s.Organisations()) != 2 || len(users) != 2 || users[1].OrgID != id {
				t.Errorf("%+v", got.State)
			}
			if users[0].Key != human.Key || len(users[0].Passwords) != 0 {
				t.Error("the user who was there was touched")
			}
			if _, err := s.run(t, func(b *Bootstrap) { b.Organisation = name }); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("a user", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, dashboardtest.Behaviour{})
		id := s.AddOrganisation("Acme")
		u := s.AddUser(id, "ann@acme.test")
		adopt := func(b *Bootstrap) { b.Key = NewSecret(u.Key) }
		for range 2 {
			got, err := s.run(t, adopt)
			if err != nil {
				t.Fatal(err)
			}
			if got.NewKey || got.NewPassword {
				t.Error("what was given would be shown")
			}
			if got.State.OrgID != id || got.State.UserID != u.ID || s.kept["secret"] != u.Key || s.kept["pending"] != "" || !got.State.Password.Empty() {
				t.Errorf("%+v", got.State)
			}
		}
		// Without the key it goes on with what is kept.
		if _, err := s.run(t, nil); err != nil {
			t.Error(err)
		}
		if users := s.Users(); len(users) != 1 || len(users[0].Passwords) != 0 || len(s.Organisations()) != 1 {
			t.Errorf("%d users, %d organisations", len(users), len(s.Organisations()))
		}
	})
	t.Run("a user, broken off", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, dashboardtest.Behaviour{})
		u := s.AddUser(s.AddOrganisation("Acme"), "ann@acme.test")
		adopt := func(b *Bootstrap) { b.Key = NewSecret(u.Key) }
		s.saveFails = func(n int) bool { return n == 1 }
		if _, err := s.run(t, adopt); !errors.Is(err, errFull) || s.kept != nil {
			t.Fatal(err)
		}
		if _, err := s.run(t, adopt); err != nil || len(s.Users()[0].Passwords) != 0 {
			t.Error(err)
		}
	})
}

func TestBootstrapRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before func(*site)
		change func(*site, *Bootstrap)
		want   string
	}{
		"the wrong admin secret": {
			change: func(_ *site, b *Bootstrap) { b.Dashboard.Secret = NewSecret("wrong-wrong") },
			want:   "the Dashboard refuses the admin secret; give the one that it runs with, admin_secret of tyk_analytics.conf",
		},
		"no admin secret": {
			change: func(_ *site, b *Bootstrap) { b.Dashboard.Secret = Secret{} },
			want:   "there is no admin secret",
		},
		"an admin secret with a line break": {
			change: func(_ *site, b *Bootstrap) { b.Dashboard.Secret = NewSecret("wrong\nwrong") },
			want:   "holds a line break",
		},
		"a name that is no name": {
			change: func(_ *site, b *Bootstrap) { b.Organisation = "a\"b" },
			want:   "is not made of up to 100 letters",
		},
		"an email address that is none": {
			change: func(_ *site, b *Bootstrap) { b.Email = "ann" },
			want:   `"ann" is no email address`,
		},
		"a name that two have": {
			before: func(s *site) { s.AddOrganisation("Cuegate"); s.AddOrganisation("Cuegate") },
			want:   `has 2 organisations with the name "Cuegate": name one by its id, such as ` + "64f0c0df",
		},
		"an id that nobody has": {
			change: func(_ *site, b *Bootstrap) { b.Organisation = "64f0c0df0000000000000009" },
			want:   "no organisation with the id 64f0c0df0000000000000009",
		},
		"a user of that name": {
			before: func(s *site) { s.AddUser(s.AddOrganisation("Cuegate"), "admin@cuegate.local") },
			want:   "a user has that email address already: admin@cuegate.local",
		},
		"a key that nobody has": {
			change: func(_ *site, b *Bootstrap) { b.Key = NewSecret("0123456789abcdef") },
			want:   "GET /api/users: refused with status 401",
		},
		"what is no key": {
			change: func(_ *site, b *Bootstrap) { b.Key = NewSecret("not a key") },
			want:   "does not look like the access key",
		},
		"a key of another organisation": {
			before: func(s *site) { s.AddUser(s.AddOrganisation("Other"), "bob@other.test") },
			change: func(s *site, b *Bootstrap) { b.Key, b.Organisation = NewSecret(s.Users()[0].Key), "Acme" },
			want:   "belongs to the organisation Other, and not to Acme",
		},
		"a key of somebody else": {
			before: func(s *site) { s.AddUser(s.AddOrganisation("Other"), "bob@other.test") },
			change: func(s *site, b *Bootstrap) { b.Key, b.Email = NewSecret(s.Users()[0].Key), "ann@acme.test" },
			want:   "is that of bob@other.test, and not of ann@acme.test",
		},
		"a key of no organisation": {
			before: func(s *site) { s.AddUser("", "root@acme.test") },
			change: func(s *site, b *Bootstrap) { b.Key = NewSecret(s.Users()[0].Key) },
			want:   "belongs to no organisation",
		},
		"what is no Dashboard": {
			before: func(s *site) {
				s.surround(func(http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"status":"pass"}`) })
				})
			},
			want: "this is no Tyk Dashboard",
		},
		"a Dashboard that repeats what it is sent": {
			before: func(s *site) {
				s.surround(func(h http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if !strings.HasSuffix(r.URL.Path, "/actions/reset") {
							h.ServeHTTP(w, r)
							return
						}
						body := make([]byte, 200)
						n, _ := r.Body.Read(body)
						w.WriteHeader(http.StatusBadRequest)
						fmt.Fprintf(w, "weak: %s for %s", body[:n], r.Header.Get("Authorization"))
					})
				})
			},
			want: "setting the password of admin@cuegate.local: POST",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, dashboardtest.Behaviour{})
			if c.before != nil {
				c.before(s)
			}
			organisations, users := len(s.Organisations()), len(s.Users())
			_, err := s.run(t, func(b *Bootstrap) {
				if c.change != nil {
					c.change(s, b)
				}
			})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if name != "a Dashboard that repeats what it is sent" && (len(s.Organisations()) != organisations || len(s.Users()) != users) {
				t.Error("something was created")
			}
		})
	}
}

// A user of that name whom somebody else made is not taken, and no password is set,
// not even by a run that goes on.
func TestBootstrapLeavesForeignUsers(t *testing.T) {
	t.Parallel()
	s := newSite(t, dashboardtest.Behaviour{})
	ann := s.AddUser(s.AddOrganisation("Cuegate"), "admin@cuegate.local")
	for range 3 {
		if _, err := s.run(t, nil); !errors.Is(err, ErrEmailTaken) {
			t.Error(err)
		}
	}
	if u := s.Users()[0]; u.Key != ann.Key || len(u.Passwords) != 0 {
		t.Errorf("the user was touched")
	}
	// Another email address is the way out, and so is the key.
	got, err := s.run(t, func(b *Bootstrap) { b.Email = "cuegate@cuegate.local" })
	if err != nil || got.State.Email != "cuegate@cuegate.local" || !got.NewPassword {
		t.Errorf("%+v, %v", got, err)
	}
	s.kept = nil
	if got, err := s.run(t, func(b *Bootstrap) { b.Key = NewSecret(ann.Key) }); err != nil || got.State.UserID != ann.ID {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestBootstrapHoldsToWhatIsKept(t *testing.T) {
	t.Parallel()
	s := newSite(t, dashboardtest.Behaviour{})
	if _, err := s.run(t, nil); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Bootstrap){
		"has the user admin@cuegate.local, and not ann@acme.test": func(b *Bootstrap) { b.Email = "ann@acme.test" },
		"has the organisation Cuegate, and not Acme":              func(b *Bootstrap) { b.Organisation = "Acme" },
	} {
		if _, err := s.run(t, change); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	s.Lose()
	if _, err := s.run(t, nil); err == nil || !strings.Contains(err.Error(), "any more: if it is another Dashboard, or was emptied, delete what is kept") {
		t.Error(err)
	}
}

func TestBootstrapRenewsTheKey(t *testing.T) {
	t.Parallel()
	rotate := func(b *Bootstrap) { b.RotateKey = true }
	start := func(t *testing.T) (*site, string) {
		s := newSite(t, dashboardtest.Behaviour{})
		if _, err := s.run(t, nil); err != nil {
			t.Fatal(err)
		}
		return s, s.kept["secret"]
	}
	expectNew := func(t *testing.T, s *site, old string, got Bootstrapped, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		s.expectDone(t, got)
		if s.kept["secret"] == old || !got.NewKey || got.NewPassword {
			t.Errorf("no new key: %t %t", got.NewKey, got.NewPassword)
		}
	}
	t.Run("on request", func(t *testing.T) {
		t.Parallel()
		s, old := start(t)
		got, err := s.run(t, rotate)
		expectNew(t, s, old, got, err)
	})
	t.Run("by somebody else", func(t *testing.T) {
		t.Parallel()
		s, old := start(t)
		s.RenewKey(s.kept["userID"])
		got, err := s.run(t, nil)
		expectNew(t, s, old, got, err)
	})
	t.Run("broken off", func(t *testing.T) {
		t.Parallel()
		s, old := start(t)
		saves := s.saves
		s.saveFails = func(n int) bool { return n == saves+1 }
		if _, err := s.run(t, rotate); !errors.Is(err, errFull) {
			t.Fatal(err)
		}
		got, err := s.run(t, nil)
		expectNew(t, s, old, got, err)
	})
}

// Some Dashboards have no list where there is nothing to list.
func TestBootstrapWithoutAList(t *testing.T) {
	t.Parallel()
	s := newSite(t, dashboardtest.Behaviour{})
	s.surround(func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && r.URL.Path == "/admin/organisations" && len(s.Organisations()) == 0 {
				w.WriteHeader(http.StatusNotFound)
				fmt.Fprint(w, `{"Status":"Error","Message":"Could not retrieve Organisations","Meta":null}`)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	got, err := s.run(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.expectDone(t, got)
}

func TestReadBootstrapState(t *testing.T) {
	t.Parallel()
	good := map[string]string{"organisation": "Cuegate", "orgID": "o", "email": "a@b.c", "userID": "u", "secret": "k"}
	if s, err := ReadBootstrapState(good); err != nil || fmt.Sprint(s.Data()) != fmt.Sprint(good) {
		t.Errorf("%v, %v", s.Data(), err)
	}
	for _, missing := range []string{"organisation", "orgID", "email", "userID", "secret"} {
		bad := map[string]string{}
		for name, text := range good {
			if name != missing {
				bad[name] = text
			}
		}
		if _, err := ReadBootstrapState(bad); err == nil {
			t.Errorf("without %s it is read", missing)
		}
	}
}
