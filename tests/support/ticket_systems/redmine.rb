# Run by Debian's Redmine (`bin/rails runner`): makes a project with an agent of ours and one of theirs, then serves.
connection = ActiveRecord::Base.connection
connection.execute("PRAGMA synchronous=OFF")
ActiveRecord::Migration.verbose = false
connection.migration_context.migrate
connection.schema_cache.clear!
ActiveRecord::Base.descendants.each(&:reset_column_information)
require "redmine/default_data/loader"
Redmine::DefaultData::Loader.load("en")
Setting.rest_api_enabled = "1"

categories = %w[reports errors screens tickets]
role = Role.givable.first
role.permissions |= %i[view_issues add_issues edit_issues add_issue_notes view_private_notes set_notes_private]
role.save!
project = Project.create!(:name => "Help", :identifier => "help", :trackers => Tracker.all)
project.update!(:enabled_module_names => ["issue_tracking"])
keys = %w[bot alice].to_h do |name|
  user = User.new(:firstname => name, :lastname => "Agent", :mail => "#{name}@example.com", :language => "en")
  user.login = name
  user.password = user.password_confirmation = "#{name}-password-1"
  user.save!
  Member.create!(:project => project, :principal => user, :roles => [role])
  [name, user.api_key]
end
fields = [["category", "list", false], ["confidence", "string", false], ["tags", "list", true]].to_h do |name, format, many|
  values = format == "list" ? categories + ["vip"] : nil
  field = IssueCustomField.create!(:name => name, :field_format => format, :multiple => many, :possible_values => values,
                                   :is_for_all => true, :trackers => Tracker.all)
  [name, field.id]
end
made = {"keys" => keys, "fields" => fields, "project" => project.id, "version" => Redmine::VERSION.to_s}
File.write(ENV["MADE"] + ".part", JSON.generate(made))
File.rename(ENV["MADE"] + ".part", ENV["MADE"])

$LOAD_PATH.unshift(*Dir["/usr/share/rubygems-integration/all/gems/webrick-*/lib"])
require "webrick"
require "rack/handler/webrick"
Rack::Handler::WEBrick.run(Rails.application, :Host => "127.0.0.1", :Port => ENV["PORT"].to_i)
