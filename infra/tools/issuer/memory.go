package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

const codeLifetime = 5 * time.Minute

var errUnknown = errors.New("unknown, or expired")

// memory is what the library asks to be kept. The methods of op.Storage that are left out belong to requests
// that are not served.
type memory struct {
	op.Storage
	configuration Configuration
	people        map[string]Person
	key           signingKey

	lock     sync.Mutex
	codes    map[string]*waiting // by device code
	sessions map[string]*session // by refresh token
}

// waiting is a command that waits for its person.
type waiting struct {
	userCode string
	state    op.DeviceAuthorizationState
}

// session is a login that can still be renewed.
type session struct {
	op.DeviceAuthorizationState
	until time.Time
}

func (s *session) SetCurrentScopes(scopes []string) { s.Scopes = scopes }

func newMemory(configuration Configuration) (*memory, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	people := make(map[string]Person, len(configuration.People))
	for _, person := range configuration.People {
		people[person.Name] = person
	}
	return &memory{
		configuration: configuration,
		people:        people,
		key:           signingKey{id: rand.Text(), private: private},
		codes:         map[string]*waiting{},
		sessions:      map[string]*session{},
	}, nil
}

func (m *memory) Health(context.Context) error { return nil }

// Codes

func (m *memory) StoreDeviceAuthorization(_ context.Context, client, device, user string, expires time.Time, scopes []string) error {
	m.lock.Lock()
	defer m.lock.Unlock()
	now := time.Now()
	for code, other := range m.codes {
		if now.After(other.state.Expires) {
			delete(m.codes, code)
		} else if other.userCode == user {
			return op.ErrDuplicateUserCode
		}
	}
	m.codes[device] = &waiting{user, op.DeviceAuthorizationState{ClientID: client, Scopes: scopes, Expires: expires}}
	return nil
}

// GetDeviceAuthorizatonState hands a code that is done out once: it is good for one token.
func (m *memory) GetDeviceAuthorizatonState(_ context.Context, client, device string) (*op.DeviceAuthorizationState, error) {
	m.lock.Lock()
	defer m.lock.Unlock()
	found, ok := m.codes[device]
	if !ok || found.state.ClientID != client {
		return nil, errUnknown
	}
	state := found.state
	if state.Done {
		delete(m.codes, device)
	}
	return &state, nil
}

// complete gives the code to the person; false where no command waits with it.
func (m *memory) complete(userCode, name string) bool {
	m.lock.Lock()
	defer m.lock.Unlock()
	for _, found := range m.codes {
		if found.userCode == userCode && !found.state.Done && time.Now().Before(found.state.Expires) {
			found.state.Done, found.state.Subject = true, name
			found.state.AMR, found.state.AuthTime = []string{"pwd"}, time.Now()
			return true
		}
	}
	return false
}

// Tokens

func (m *memory) CreateAccessToken(context.Context, op.TokenRequest) (string, time.Time, error) {
	return rand.Text(), m.expiration(), nil
}

// CreateAccessAndRefreshTokens replaces the refresh token with each use, and does not prolong the session.
func (m *memory) CreateAccessAndRefreshTokens(_ context.Context, request op.TokenRequest, current string) (string, string, time.Time, error) {
	m.lock.Lock()
	defer m.lock.Unlock()
	kept := m.sessions[current]
	delete(m.sessions, current)
	if state, ok := request.(*op.DeviceAuthorizationState); ok && current == "" {
		kept = &session{*state, time.Now().Add(time.Duration(m.configuration.SessionHours) * time.Hour)}
	}
	if kept == nil {
		return "", "", time.Time{}, errUnknown
	}
	renewal := rand.Text()
	m.sessions[renewal] = kept
	return rand.Text(), renewal, m.expiration(), nil
}

func (m *memory) TokenRequestByRefreshToken(_ context.Context, token string) (op.RefreshTokenRequest, error) {
	m.lock.Lock()
	defer m.lock.Unlock()
	now := time.Now()
	for name, other := range m.sessions {
		if now.After(other.until) {
			delete(m.sessions, name)
		}
	}
	found, ok := m.sessions[token]
	if !ok {
		return nil, errUnknown
	}
	return found, nil
}

func (m *memory) expiration() time.Time {
	return time.Now().Add(time.Duration(m.configuration.Seconds) * time.Second)
}

// SetUserinfoFromScopes fills the ID token. Groups are always in it: the API server reads nothing else.
func (m *memory) SetUserinfoFromScopes(_ context.Context, info *oidc.UserInfo, name, _ string, _ []string) error {
	person, ok := m.people[name]
	if !ok {
		return errUnknown
	}
	info.Subject, info.PreferredUsername = person.Name, person.Name
	info.Email, info.EmailVerified = person.Email, true
	info.AppendClaims("groups", person.Groups)
	return nil
}

// The key

type signingKey struct {
	id      string
	private *ecdsa.PrivateKey
}

func (k signingKey) ID() string                                  { return k.id }
func (k signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.ES256 }
func (k signingKey) Key() any                                    { return k.private }

type publicKey struct{ signingKey }

func (k publicKey) Algorithm() jose.SignatureAlgorithm { return jose.ES256 }
func (k publicKey) Use() string                        { return "sig" }
func (k publicKey) Key() any                           { return k.private.Public() }

func (m *memory) SigningKey(context.Context) (op.SigningKey, error) { return m.key, nil }

func (m *memory) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.ES256}, nil
}

func (m *memory) KeySet(context.Context) ([]op.Key, error) { return []op.Key{publicKey{m.key}}, nil }

// The client

func (m *memory) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	if !slices.Contains(m.configuration.Clients, id) {
		return nil, errUnknown
	}
	return client{id, m.configuration}, nil
}

func (m *memory) AuthorizeClientIDSecret(context.Context, string, string) error {
	return errors.New("the client has no secret")
}
