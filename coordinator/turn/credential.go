package turn

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// Credentials are a username and a password that are good for ttl at every server
// with the same secret. user must not contain a colon.
func Credentials(secret []byte, user string, ttl time.Duration, now time.Time) (username, password string) {
	username = strconv.FormatInt(now.Add(ttl).Unix(), 10) + ":" + user
	return username, passwordOf(secret, username)
}

func passwordOf(secret []byte, username string) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("skein turn\x00" + username))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// userOf is whom a username was made for; ok is false if it is none or expired.
func userOf(username string, now time.Time) (user string, ok bool) {
	text, user, found := strings.Cut(username, ":")
	until, err := strconv.ParseInt(text, 10, 64)
	return user, found && err == nil && user != "" && now.Unix() < until
}
