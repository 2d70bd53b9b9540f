package route

import (
	"fmt"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/pkg/routing"
)

// userAgent is a part of the User-Agent that identifies programs. Like all parts in a rule of the
// type Contains, it is compared without the case of ASCII letters.
type userAgent struct {
	contains string
	// source shows this User-Agent; date is when somebody last checked.
	source, date string
}

// Sources of several rows.
const (
	robotList  = "https://github.com/monperrus/crawler-user-agents"
	openAI     = "https://developers.openai.com/api/docs/bots"
	azureProbe = "https://learn.microsoft.com/azure/frontdoor/health-probes"
)

// knownUserAgents are the presets. A row comes in if the program names itself by default,
// and if what it is known by is in no browser's User-Agent. Programs that fetch a page
// because a person asked for it (ChatGPT-User, for one) are not robots: they may wake.
func knownUserAgents() map[v1beta1.UserAgents][]userAgent {
	return map[v1beta1.UserAgents][]userAgent{
		v1beta1.UserAgentsCrawlers: {
			{"Googlebot", robotList, "2026-11-27"},
			{"AdsBot-Google", robotList, "2026-11-27"},
			{"Mediapartners-Google", robotList, "2026-11-27"},
			{"bingbot", robotList, "2026-11-27"},
			{"BingPreview", robotList, "2026-11-27"},
			{"Slurp", robotList, "2026-11-27"},
			{"DuckDuckBot", robotList, "2026-11-27"},
			{"Applebot", robotList, "2026-11-27"},
			{"Baiduspider", robotList, "2026-11-27"},
			{"YandexBot", robotList, "2026-11-27"},
			{"PetalBot", robotList, "2026-11-27"},
			{"SeznamBot", robotList, "2026-11-27"},
			{"Amazonbot", robotList, "2026-11-27"},
			{"Bytespider", robotList, "2026-11-27"},
			{"CCBot", robotList, "2026-11-27"},
			{"ClaudeBot", robotList, "2026-11-27"},
			{"PerplexityBot", robotList, "2026-11-27"},
			{"GPTBot", openAI, "2026-11-27"},
			{"OAI-SearchBot", openAI, "2026-11-27"},
			{"OAI-AdsBot", openAI, "2026-11-27"},
			{"AhrefsBot", robotList, "2026-11-27"},
			{"SemrushBot", robotList, "2026-11-27"},
			{"MJ12bot", robotList, "2026-11-27"},
			{"DotBot", robotList, "2026-11-27"},
			{"BLEXBot", robotList, "2026-11-27"},
			{"facebookexternalhit", robotList, "2026-11-27"},
			{"Twitterbot", robotList, "2026-11-27"},
			{"LinkedInBot", robotList, "2026-11-27"},
			{"Slackbot", robotList, "2026-11-27"},
			{"Discordbot", robotList, "2026-11-27"},
			{"TelegramBot", robotList, "2026-11-27"},
			{"Pinterestbot", robotList, "2026-11-27"},
			{"archive.org_bot", robotList, "2026-11-27"},
		},
		v1beta1.UserAgentsUptimeCheckers: {
			{"UptimeRobot", robotList, "2026-11-27"},
			{"Pingdom.com_bot", robotList, "2026-11-27"},
			{"StatusCake", robotList, "2026-11-27"},
			{"Better Uptime Bot", robotList, "2026-11-27"},
			{"Site24x7", robotList, "2026-11-27"},
			{"GoogleStackdriverMonitoring-UptimeChecks", "https://cloud.google.com/monitoring/uptime-checks", "2026-11-27"},
			{"Amazon-Route53-Health-Check-Service", "https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/route-53-router-health-checks.html", "2026-11-27"},
			{"Blackbox Exporter/", "https://github.com/prometheus/blackbox_exporter", "2026-11-27"},
			{"Uptime-Kuma", "https://github.com/louislam/uptime-kuma", "2026-11-27"},
		},
		v1beta1.UserAgentsLoadBalancerProbes: {
			{"kube-probe/", "https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/", "2026-11-27"},
			{"ELB-HealthChecker/", "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html", "2026-11-27"},
			{"GoogleHC/", "https://cloud.google.com/load-balancing/docs/health-check-concepts", "2026-11-27"},
			{"Edge Health Probe", azureProbe, "2026-11-27"},
			{"Envoy/HC", "https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/health_checking", "2026-11-27"},
			{"Consul Health Check", "https://developer.hashicorp.com/consul/docs/register/health-check/vm", "2026-11-27"},
		},
	}
}

// userAgents returns the test that a User-Agent passes which one of the presets knows.
func userAgents(presets []v1beta1.UserAgents) (routing.HeaderTest, error) {
	known := knownUserAgents()
	var parts []string
	name := "of"
	for i, preset := range presets {
		rows, ok := known[preset]
		if !ok {
			return nil, fmt.Errorf("there is no list of User-Agents %.80q", preset)
		}
		for _, row := range rows {
			parts = append(parts, row.contains)
		}
		if i > 0 {
			name += " or"
		}
		name += " " + string(preset)
	}
	return routing.Named(name, routing.Contains(parts...)), nil
}
