package door

import (
	"context"
	"fmt"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/cc"
	"github.com/pion/interceptor/pkg/gcc"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/webrtc/v4"
)

const (
	// feedbackInterval of transport-wide congestion control.
	feedbackInterval = 50 * time.Millisecond
	// firstEstimate is what a viewer's path is taken to carry at first, bit/s.
	firstEstimate = 2_000_000
	leastEstimate = 100_000
	mostEstimate  = 50_000_000
)

// newPeer makes the connection to a client, with what its direction needs. The
// estimator is that of a viewer's path, nil for a publisher. Only AV1 has descriptors.
func (d *Door) newPeer(action Action, descriptors bool) (*webrtc.PeerConnection, cc.BandwidthEstimator, error) {
	engine, err := newMediaEngine(descriptors)
	if err != nil {
		return nil, nil, err
	}
	registry := &interceptor.Registry{}
	var estimator cc.BandwidthEstimator
	if action == Publish {
		err = receiving(registry)
	} else {
		err = sending(registry, func(e cc.BandwidthEstimator) { estimator = e })
	}
	if err != nil {
		return nil, nil, err
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(d.settings()))
	pc, err := api.NewPeerConnection(webrtc.Configuration{
		Certificates: []webrtc.Certificate{d.certificate}, BundlePolicy: webrtc.BundlePolicyMaxBundle,
	})
	return pc, estimator, err
}

func (d *Door) settings() (e webrtc.SettingEngine) {
	e.LoggerFactory = quiet
	e.SetICEUDPMux(d.mux)
	e.SetIncludeLoopbackCandidate(true)
	e.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	e.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6})
	e.SetICETimeouts(disconnectedAfter, failedAfter, checkEvery)
	// The client is the one to choose the path, and need not wait for a better one.
	e.SetHostAcceptanceMinWait(0)
	e.SetPrflxAcceptanceMinWait(0)
	// ICE has proved the client's address: no cookies.
	e.SetDTLSInsecureSkipHelloVerify(true)
	e.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	if ips := d.cfg.Advertise; len(ips) > 0 {
		list := make([]string, len(ips))
		for i, ip := range ips {
			list[i] = ip.String()
		}
		// Only an address that is none could be refused.
		_ = e.SetICEAddressRewriteRules(webrtc.ICEAddressRewriteRule{External: list, AsCandidateType: webrtc.ICECandidateTypeHost})
	}
	return e
}

// receiving is what a publisher is told: how much arrives, and when. What is missing the
// inlet sees, also if it comes as a retransmission.
func receiving(r *interceptor.Registry) error {
	reports, err := report.NewReceiverInterceptor()
	if err != nil {
		return err
	}
	arrivals, err := twcc.NewSenderInterceptor(twcc.SendInterval(feedbackInterval))
	if err != nil {
		return err
	}
	r.Add(reports)
	r.Add(arrivals)
	return nil
}

// sending estimates what a viewer's path carries. Repair and reports are the
// outlet's own, because they go on over a seam.
func sending(r *interceptor.Registry, got func(cc.BandwidthEstimator)) error {
	congestion, err := cc.NewInterceptor(func() (cc.BandwidthEstimator, error) {
		e, err := gcc.NewSendSideBWE(
			gcc.SendSideBWEInitialBitrate(firstEstimate), gcc.SendSideBWEMinBitrate(leastEstimate),
			gcc.SendSideBWEMaxBitrate(mostEstimate), gcc.SendSideBWEPacer(gcc.NewNoOpPacer()))
		return repairing{e}, err
	})
	if err != nil {
		return err
	}
	congestion.OnNewPeerConnection(func(_ string, e cc.BandwidthEstimator) { got(e) })
	r.Add(congestion)
	numbers, err := twcc.NewHeaderExtensionInterceptor()
	if err != nil {
		return err
	}
	r.Add(numbers)
	return nil
}

// A repairing estimator lets a stream's retransmissions pass, too. They have an SSRC of
// their own, and the pacer refuses those it was not told of.
type repairing struct{ cc.BandwidthEstimator }

func (r repairing) AddStream(info *interceptor.StreamInfo, w interceptor.RTPWriter) interceptor.RTPWriter {
	if info.SSRCRetransmission != 0 {
		repairs := *info
		repairs.SSRC = info.SSRCRetransmission
		r.BandwidthEstimator.AddStream(&repairs, w)
	}
	return r.BandwidthEstimator.AddStream(info, w)
}

// answer takes an offer and returns the answer with all candidates of this end.
// prepare is called in between, when the m-lines are known.
func answer(ctx context.Context, pc *webrtc.PeerConnection, offer string, prepare func() error) (string, error) {
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", fmt.Errorf("%w: %.200v", errUnprocessable, err)
	}
	if err := prepare(); err != nil {
		return "", err
	}
	a, err := pc.CreateAnswer(nil)
	if err != nil {
		return "", fmt.Errorf("%w: %.200v", errUnprocessable, err)
	}
	return settleLocal(ctx, pc, a)
}

// settleLocal makes d this end's description and returns it with all candidates.
func settleLocal(ctx context.Context, pc *webrtc.PeerConnection, d webrtc.SessionDescription) (string, error) {
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(d); err != nil {
		return "", fmt.Errorf("%w: %.200v", errUnprocessable, err)
	}
	select {
	case <-gathered:
		return pc.LocalDescription().SDP, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}
