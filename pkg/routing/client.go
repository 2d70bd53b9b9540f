package routing

import (
	"errors"
	"net/netip"
	"strings"
)

// Proxies are the networks of proxies whose X-Forwarded-For is trusted.
type Proxies []netip.Prefix

// Client returns the address that a request comes from. That is peer, the other end of its
// connection, unless peer is a trusted proxy. In that case it is the last entry of
// X-Forwarded-For that is not one. The search ends at an entry that is not an address, because
// anybody may have written what is left of it. A peer without an address has the zero Addr, which
// is in no network.
func (p Proxies) Client(peer string, forwarded []string) netip.Addr {
	client, ok := parseAddress(peer)
	if !ok {
		return netip.Addr{}
	}
	for i := len(forwarded) - 1; i >= 0; i-- {
		line := forwarded[i]
		for more := true; more && p.has(client); {
			cut := strings.LastIndexByte(line, ',')
			before, ok := parseAddress(strings.Trim(line[cut+1:], " \t"))
			if !ok {
				return client
			}
			client, line, more = before, line[:max(cut, 0)], cut >= 0
		}
		if !p.has(client) {
			break
		}
	}
	return client
}

func (p Proxies) has(address netip.Addr) bool {
	for _, network := range p {
		if network.Contains(address) {
			return true
		}
	}
	return false
}

// parseAddress reads an address with or without a port, brackets and zone.
func parseAddress(text string) (netip.Addr, bool) {
	if strings.HasPrefix(text, "[") {
		end := strings.IndexByte(text, ']')
		if end < 0 || text[end+1:] != "" && text[end+1] != ':' {
			return netip.Addr{}, false
		}
		text = text[1:end]
	} else if i := strings.IndexByte(text, ':'); i >= 0 && strings.IndexByte(text[i+1:], ':') < 0 {
		text = text[:i]
	}
	address, err := netip.ParseAddr(text)
	return address.Unmap().WithZone(""), err == nil
}

// ParseNetwork reads a network such as 10.0.0.0/8, or an address for one that has no other.
func ParseNetwork(text string) (netip.Prefix, error) {
	network, err := netip.ParsePrefix(text)
	if err != nil {
		address, addressErr := netip.ParseAddr(text)
		if addressErr != nil || address.Zone() != "" {
			return netip.Prefix{}, err
		}
		network = netip.PrefixFrom(address, address.BitLen())
	}
	if address := network.Addr(); address.Is4In6() {
		if network.Bits() < 96 {
			// Addresses of requests are unmapped: none is in it.
			return netip.Prefix{}, errors.New("it is wider than the IPv4-mapped addresses; write its IPv4 and IPv6 networks")
		}
		network = netip.PrefixFrom(address.Unmap(), network.Bits()-96)
	}
	return network.Masked(), nil
}
