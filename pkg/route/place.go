package route

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/idna"

	"github.com/kedacore/http-add-on/pkg/routing"
)

// convertHost returns a host of a rule in the form that requests have, without a port, or why no
// request can have it.
func convertHost(value string) (string, error) {
	switch {
	case isURL(value):
		return "", errors.New("it is a URL; write its host alone")
	case strings.ContainsAny(value, "/?#"):
		return "", errors.New("a host has no path; write that under the paths")
	case strings.Contains(value, "@"):
		return "", errors.New("a host has no user")
	}
	host := routing.HostName(value)
	if strings.Contains(host, ":") {
		address, err := netip.ParseAddr(host)
		if err != nil {
			return "", errors.New("it is neither a name nor an IP address")
		}
		return address.WithZone("").String(), nil // as clients write it
	}
	if _, port, ok := strings.Cut(value, ":"); ok && !isNumber(port) {
		return "", fmt.Errorf("its port %q is not a number", port)
	}
	wildcard := ""
	if rest, ok := strings.CutPrefix(host, "*."); ok {
		host, wildcard = rest, "*."
	}
	if !isASCII(host) {
		ascii, err := domains().ToASCII(host)
		if err != nil {
			return "", fmt.Errorf("it is not an internationalized domain name: %w", err)
		}
		host = ascii
	}
	switch {
	case strings.HasPrefix(value, "*.") && wildcard == "":
		return "", errors.New("it has an empty label")
	case wildcard == "" && (host == "" || host == "*"):
		return host, nil
	case strings.Contains(host, "*"):
		return "", errors.New(`* stands for whole labels at the beginning, as in "*.example.com"`)
	case wildcard == "" && len(host) > 1 && host[0] == '.':
		return "", fmt.Errorf("it begins with a dot; write %q for all hosts below it", "*"+host)
	case slices.Contains(strings.Split(host, "."), ""):
		return "", errors.New("it has an empty label")
	case len(host) > routing.MaxHost:
		return "", fmt.Errorf("it is longer than %d characters", routing.MaxHost)
	case strings.Contains(host, "%") || !httpguts.ValidHostHeader(host):
		return "", errors.New("it has a character that no host may have")
	}
	return wildcard + host, nil
}

// domains converts internationalized domain names as browsers do. Underscores pass, as they
// do in names of ASCII.
func domains() *idna.Profile {
	return idna.New(idna.MapForLookup(), idna.BidiRule(), idna.Transitional(false), idna.StrictDomainName(false))
}

// convertPath returns a path of a rule as those of requests are compared, or why none is
// like it.
func convertPath(value string) (string, error) {
	if i := strings.IndexAny(value, "?#"); i >= 0 {
		return "", fmt.Errorf("the path ends before %q (write %%%X for the character)", value[i:i+1], value[i])
	}
	if isURL(value) {
		return "", errors.New("it is a URL; write its path alone")
	}
	for segment := range strings.SplitSeq(value, "/") {
		if segment == "*" || segment == "**" {
			return "", errors.New("a path is a prefix of whole segments, and * is not a wildcard (write %2A for the character)")
		}
	}
	return decodePercent(value), nil
}

// decodePercent decodes percent-encoding. A percent sign that begins none stands for
// itself.
func decodePercent(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if b, err := hex.DecodeString(s[i+1 : i+3]); err == nil {
				out = append(out, b...)
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}

// isURL reports whether a value begins like "https://".
func isURL(value string) bool {
	scheme, _, ok := strings.Cut(value, "://")
	return ok && scheme != "" && !strings.ContainsAny(scheme, "/?#. ")
}

// isNumber reports whether s is empty or has only digits.
func isNumber(s string) bool { return strings.Trim(s, "0123456789") == "" }

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7f })
}
