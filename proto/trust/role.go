package trust

import (
	"fmt"

	"github.com/skein-mesh/skein/region"
)

// A Role says what the holder of a certificate may do.
type Role string

// The roles.
const (
	// RoleMember may take part in regions.
	RoleMember Role = "member"
	// RoleCoordinator may serve members and host replicas of region groups.
	RoleCoordinator Role = "coordinator"
	// RoleOperator may look at everything and make join tokens.
	RoleOperator Role = "operator"
)

// roles numbers the roles as tokens encode them; positions are never reused.
var roles = [...]Role{1: RoleMember, 2: RoleCoordinator, 3: RoleOperator}

// ParseRole checks that text names a role; otherwise it reports
// region.ErrInvalid.
func ParseRole(text string) (Role, error) {
	if _, err := Role(text).code(); err != nil {
		return "", err
	}
	return Role(text), nil
}

func (r Role) code() (byte, error) {
	for code, role := range roles {
		if role == r && r != "" {
			return byte(code), nil
		}
	}
	return 0, fmt.Errorf("%w: role %.32q: want %s, %s or %s",
		region.ErrInvalid, string(r), RoleMember, RoleCoordinator, RoleOperator)
}
