# Run with Debian's Request Tracker: two agents with tokens, three custom fields. Prints {name: token} as JSON.
use strict;
use warnings;
use lib '/usr/share/request-tracker5/lib';
use RT -init;
use RT::AuthToken;
use JSON;

sub done { my ($ok, $why) = @_; die $why unless $ok; return $ok }

for my $field (['Category', 'SelectSingle'], ['Confidence', 'FreeformSingle'], ['Tags', 'FreeformMultiple']) {
    my ($name, $type) = @$field;
    my $made = RT::CustomField->new(RT->SystemUser);
    done($made->Create(Name => $name, Type => $type, LookupType => 'RT::Queue-RT::Ticket'));
    if ($type eq 'SelectSingle') { done($made->AddValue(Name => $_)) for qw(reports errors screens tickets) }
    done($made->AddToObject(RT::Queue->new(RT->SystemUser)));
}
if ($ENV{HOOK_URL}) {
    # As docs/ticket-systems.md says.
    open(my $file, '<', $ENV{HOOK_CODE}) or die $!;
    my $code = do { local $/; <$file> };
    for my $when ('On Create', 'On Correspond') {
        done(RT::Scrip->new(RT->SystemUser)->Create(
            Queue => 0, Description => "tell ticketbot $when", ScripCondition => $when, ScripAction => 'User Defined',
            Template => 'Blank', CustomPrepareCode => 'return 1;', CustomCommitCode => $code));
    }
}
my %tokens;
my @rights = qw(ShowTicket ShowTicketComments CommentOnTicket ModifyTicket SeeCustomField ModifyCustomField);
for my $name (qw(bot alice)) {
    my $user = RT::User->new(RT->SystemUser);
    done($user->Create(Name => $name, Privileged => 1, EmailAddress => "$name\@localhost"));
    my @more = $name eq 'alice' ? qw(SeeQueue CreateTicket) : ();
    done($user->PrincipalObj->GrantRight(Right => $_, Object => RT->System)) for @rights, @more;
    my ($ok, $why, $token) = RT::AuthToken->new(RT->SystemUser)->Create(Owner => $user->Id, Description => 'tests');
    done($ok, $why);
    $tokens{$name} = $token;
}
print encode_json(\%tokens);
